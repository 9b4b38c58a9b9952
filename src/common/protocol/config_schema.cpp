#include "common/protocol/config_schema.h"

#include <cmath>

#include "common/protocol/config_table.h"

namespace saemill {
namespace {

nlohmann::ordered_json property(const ConfigKey& key, RunConfig& defaults) {
  nlohmann::ordered_json schema{{"title", key.name}, {"description", key.description}};
  const ConfigValue value = key.at(defaults);
  schema["type"] = std::holds_alternative<std::string*>(value) ? "string"
                   : std::holds_alternative<bool*>(value)      ? "boolean"
                   : std::holds_alternative<int64_t*>(value)   ? "integer"
                                                               : "number";
  schema["default"] = std::visit([](auto* v) { return nlohmann::ordered_json(*v); }, value);
  if (schema["type"] == "integer" || schema["type"] == "number") {
    schema["minimum"] = key.minimum;
    if (std::isfinite(key.maximum)) schema["maximum"] = key.maximum;
  }
  if (!key.choices.empty()) schema["enum"] = key.choices;
  if (*key.unit) schema["x-unit"] = key.unit;
  if (*key.architecture) schema["x-applies-when"] = {{"sae.architecture", key.architecture}};
  return schema;
}

}  // namespace

nlohmann::ordered_json config_schema() {
  RunConfig defaults;
  nlohmann::ordered_json schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                                {"title", "saemill training"},
                                {"type", "object"},
                                {"additionalProperties", false}};
  auto& groups = schema["properties"];
  for (const ConfigKey& key : config_table()) {
    const std::string name = key.name;
    const size_t dot = name.find('.');
    if (dot == std::string::npos) {
      groups[name] = property(key, defaults);
      continue;
    }
    auto& group = groups[name.substr(0, dot)];
    group["type"] = "object";
    group["additionalProperties"] = false;
    group["properties"][name.substr(dot + 1)] = property(key, defaults);
    group["properties"][name.substr(dot + 1)]["x-group"] = name.substr(0, dot);
  }
  return schema;
}

}  // namespace saemill
