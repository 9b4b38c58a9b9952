// The configuration as JSON Schema 2020-12, for forms and for validation elsewhere.
#pragma once

#include <nlohmann/json.hpp>

namespace saemill {

nlohmann::ordered_json config_schema();

}  // namespace saemill
