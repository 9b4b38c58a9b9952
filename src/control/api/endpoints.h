// The endpoints, by file. Each is a function over the services; route_table.cpp says which path calls it.
#pragma once

#include "control/api/request.h"
#include "control/api/services.h"

namespace saemill::api {

#define SAEMILL_ENDPOINT(name) HttpResponse name(Services& services, const Request& request)

// devices.cpp
SAEMILL_ENDPOINT(list_devices);
SAEMILL_ENDPOINT(one_device);
SAEMILL_ENDPOINT(device_history);
SAEMILL_ENDPOINT(system_metrics);
SAEMILL_ENDPOINT(system_host);
// planning.cpp
SAEMILL_ENDPOINT(recommend_devices);
SAEMILL_ENDPOINT(validate_devices);
SAEMILL_ENDPOINT(estimate_training);
SAEMILL_ENDPOINT(inspect_activations);
// trainings.cpp
SAEMILL_ENDPOINT(list_trainings);
SAEMILL_ENDPOINT(create_trainings);
SAEMILL_ENDPOINT(one_training);
SAEMILL_ENDPOINT(erase_training);
SAEMILL_ENDPOINT(control_training);
SAEMILL_ENDPOINT(duplicate_training);
// training_series.cpp
SAEMILL_ENDPOINT(training_metrics);
SAEMILL_ENDPOINT(training_events);
// training_files.cpp
SAEMILL_ENDPOINT(list_checkpoints);
SAEMILL_ENDPOINT(list_checkpoint_files);
SAEMILL_ENDPOINT(erase_checkpoint);
SAEMILL_ENDPOINT(get_checkpoint_file);
SAEMILL_ENDPOINT(list_sae_files);
SAEMILL_ENDPOINT(get_sae_file);
SAEMILL_ENDPOINT(get_log);
// catalog.cpp
SAEMILL_ENDPOINT(get_config_schema);
SAEMILL_ENDPOINT(get_metric_catalog);
SAEMILL_ENDPOINT(get_openapi);
// events.cpp
SAEMILL_ENDPOINT(list_events);
// server.cpp
SAEMILL_ENDPOINT(get_healthz);
SAEMILL_ENDPOINT(get_server);
SAEMILL_ENDPOINT(get_metrics);
// sign_in.cpp
SAEMILL_ENDPOINT(get_login);
SAEMILL_ENDPOINT(new_session);
SAEMILL_ENDPOINT(end_session);
SAEMILL_ENDPOINT(new_login_code);

#undef SAEMILL_ENDPOINT

}  // namespace saemill::api
