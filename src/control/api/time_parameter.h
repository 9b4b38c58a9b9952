// Times in a query: RFC 3339 UTC ("2026-01-31T12:34:56Z") or epoch seconds.
#pragma once

#include <cstdint>
#include <string>

#include "control/api/request.h"

namespace saemill::api {

// Epoch seconds, rounded down. 400 invalid_parameter where it is neither.
int64_t time_parameter(const Request& request, const std::string& name, int64_t otherwise);

}  // namespace saemill::api
