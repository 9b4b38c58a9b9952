// openapi.json, as it is committed: the contract of this interface, inside the program.
#pragma once

#include <string_view>

namespace saemill::api {

std::string_view openapi_json();

}  // namespace saemill::api
