// From a request's body to rows for Jobs: where, when, and with which checked and resolved configuration.
#pragma once

#include <string>
#include <vector>

#include "control/api/problem.h"
#include "control/api/request.h"
#include "control/api/services.h"
#include "control/api/training_devices.h"

namespace saemill::api {

// The members that say where and when a training runs, and not which.
const std::vector<std::string>& queue_members();

struct NewTraining {
  TrainingRow row;  // but for its configuration, name and total_steps
  AskedDevices devices;
  bool now = false;
};

// What a body does not tell is as in `otherwise`. Problem 422 invalid_request.
NewTraining read_new_training(const Services& services, const Members& body, const TrainingRow& otherwise);

// The whole row. Problem as in planning.h; 422 where a named device is too small for this configuration.
TrainingRow with_config(const Services& services, NewTraining training, const Json& config);

// With a worker that is asked only once about each file: for the members of a group.
Services asking_once(const Services& services);

// What Jobs refuses is 404 or 409.
template <typename Work>
auto ask_jobs(const Work& work) {
  try {
    return work();
  } catch (const Refused& refused) {
    throw Problem(refused.code() == "not_found" ? 404 : 409, refused.code(), refused.what());
  }
}

// 422: this member does not go with the rest of the body.
[[noreturn]] void refuse_member(const std::string& name, const std::string& message,
                                const std::string& accepted);

// 404 not_found.
TrainingRow training_of(const Services& services, const Request& request);

}  // namespace saemill::api
