// A machine event as REST and the channel `events` tell it.
#pragma once

#include "common/base/clock.h"
#include "control/api/http.h"
#include "control/store/machine_events.h"

namespace saemill::api {

// {id?, time, severity, code, over, host, device_uuid?, training_id?, message}; no id: it is not stored yet.
Json to_json(const MachineEvent& event);

}  // namespace saemill::api
