// A configuration in a request's body, read for whoever plans or starts a training.
#pragma once

#include <optional>

#include "control/api/request.h"
#include "control/api/services.h"
#include "control/select/device_estimate.h"

namespace saemill::api {

struct AskedTraining {
  RunConfig config;               // activations.path is one that was allowed
  std::optional<DataShape> data;  // absent: nothing is there, and activations.d_in is given
};

// Problem 422 invalid_config with every value that is refused, below "/config"; 403 and 404 of its
// activations.
AskedTraining asked_training(const Services& services, const Json& config);

// The same problems, where a value does not fit the data or the devices.
Estimate estimate_asked(const AskedTraining& asked, const EstimateDevices& devices);

// Every value explicit, for a training on so many devices. The same problems, and 404 or 422 where there is
// no data: then it can be estimated, but not trained.
RunConfig resolve_asked(const Services& services, const AskedTraining& asked, int64_t device_count);

}  // namespace saemill::api
