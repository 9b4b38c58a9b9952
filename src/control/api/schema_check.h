// Whether a value fits a schema: the part of JSON Schema 2020-12 that openapi.json uses, for tests. A keyword
// that is not known here is an error, so that nothing is silently unchecked.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/base/clock.h"

namespace saemill::api {

class SchemaCheck {
 public:
  using Json = nlohmann::ordered_json;
  explicit SchemaCheck(Json document) : document_(std::move(document)) {}
  const Json& document() const { return document_; }
  // "#/components/schemas/Device". Throws std::logic_error where there is nothing.
  const Json& resolve(const std::string& reference) const {
    const bool local = reference.starts_with("#/");
    const Json::json_pointer pointer(local ? reference.substr(1) : "");
    if (!local || !document_.contains(pointer)) throw std::logic_error("nothing at " + reference);
    return document_.at(pointer);
  }

  // What is wrong with `value`, as "place: reason"; empty: it fits. Remembers which optional members it saw.
  std::vector<std::string> errors(const Json& schema, const Json& value) {
    Found found;
    check(schema, value, "", "inline", found);
    if (found.errors.empty()) seen_.merge(found.seen);
    return found.errors;
  }

  // "Device.energy present", "Device.energy absent": of members that need not be there.
  const std::set<std::string>& seen() const { return seen_; }

  // Throws std::logic_error for a keyword that is not known, at any depth, and for a reference to nothing.
  void check_keywords(const Json& schema) const {
    static const std::set<std::string> known = {
        "type",        "properties", "required", "additionalProperties",
        "items",       "enum",       "const",    "minimum",
        "maximum",     "oneOf",      "anyOf",    "$ref",
        "minItems",    "minLength",  "maxItems", "maxLength",
        "description", "default",    "format"};
    if (schema.is_boolean()) return;
    for (const auto& [key, value] : schema.items()) {
      if (!known.contains(key)) throw std::logic_error("unknown keyword " + key + " in " + schema.dump());
      if (key == "$ref") resolve(value.get<std::string>());
      if (key == "format" && value != "date-time") throw std::logic_error("unknown format " + value.dump());
      if (key == "items" || key == "additionalProperties") check_keywords(value);
      if (key == "properties" || key == "oneOf" || key == "anyOf")
        for (const Json& part : value) check_keywords(part);
    }
  }

 private:
  struct Found {
    std::vector<std::string> errors;
    std::set<std::string> seen;
  };

  static bool is_a(const Json& value, const std::string& type) {
    if (type == "integer") return value.is_number_integer();
    return type == value.type_name();  // object, array, string, boolean, number, null
  }
  static bool is_time(const std::string& text) {
    return text.size() == 24 && parse_utc_time(text).has_value();  // with milliseconds
  }
  void check(const Json& schema, const Json& value, const std::string& at, const std::string& name,
             Found& found) const {
    if (schema.is_boolean())
      return schema.get<bool>() ? void() : found.errors.push_back(at + ": nothing is accepted");
    check_keywords(schema);
    const auto refuse = [&](const std::string& why) {
      found.errors.push_back((at.empty() ? "/" : at) + " (" + name + "): " + why + ", not " +
                             value.dump().substr(0, 80));
    };
    if (schema.contains("$ref")) {
      const auto reference = schema["$ref"].get<std::string>();
      check(resolve(reference), value, at, reference.substr(reference.rfind('/') + 1), found);
    }
    if (schema.contains("type")) {
      const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
      if (std::none_of(types.begin(), types.end(),
                       [&](const Json& type) { return is_a(value, type.get<std::string>()); }))
        refuse("must be " + schema["type"].dump());
    }
    if (schema.contains("const") && value != schema["const"]) refuse("must be " + schema["const"].dump());
    if (schema.contains("enum") &&
        std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end())
      refuse("must be one of " + schema["enum"].dump());
    const auto keep_between = [&](const char* least, const char* most, const Json& measure) {
      if (schema.contains(least) && measure < schema[least]) refuse("too little");
      if (schema.contains(most) && measure > schema[most]) refuse("too much");
    };
    if (value.is_number()) keep_between("minimum", "maximum", value);
    if (value.is_string()) keep_between("minLength", "maxLength", value.get<std::string>().size());
    if (value.is_array()) keep_between("minItems", "maxItems", value.size());
    if (value.is_string() && schema.contains("format") && !is_time(value.get<std::string>()))
      refuse("must be a time");
    if (value.is_object()) check_members(schema, value, at, name, found);
    for (size_t i = 0; value.is_array() && schema.contains("items") && i < value.size(); ++i)
      check(schema["items"], value[i], at + "/" + std::to_string(i), name, found);
    for (const char* key : {"oneOf", "anyOf"})
      if (schema.contains(key))
        check_choice(schema[key], value, at, std::string(key) == "oneOf", refuse, found);
  }

  void check_members(const Json& schema, const Json& value, const std::string& at, const std::string& name,
                     Found& found) const {
    const Json properties = schema.value("properties", Json::object());
    const Json required = schema.value("required", Json::array());
    for (const Json& wanted : required)
      if (!value.contains(wanted.get<std::string>()))
        found.errors.push_back(at + " (" + name + "): lacks " + wanted.get<std::string>());
    for (const auto& [key, part] : properties.items()) {
      if (std::find(required.begin(), required.end(), key) == required.end())
        found.seen.insert(name + "." + key + (value.contains(key) ? " present" : " absent"));
      if (value.contains(key)) check(part, value[key], at + "/" + key, name, found);
    }
    if (!schema.contains("additionalProperties")) return;
    for (const auto& [key, member] : value.items())
      if (!properties.contains(key))
        check(schema["additionalProperties"], member, at + "/" + key, name, found);
  }

  template <typename Refuse>
  void check_choice(const Json& choices, const Json& value, const std::string& at, bool only_one,
                    const Refuse& refuse, Found& found) const {
    int fitting = 0;
    std::string reasons;
    for (const Json& choice : choices) {
      Found one;
      check(choice, value, at, "choice", one);
      for (const std::string& error : one.errors) reasons += "\n  " + error;
      if (one.errors.empty() && ++fitting == 1) found.seen.merge(one.seen);
    }
    if (fitting == 0) refuse("fits no choice:" + reasons + "\n");
    if (fitting > 1 && only_one) refuse("fits several choices");
  }

  Json document_;
  std::set<std::string> seen_;
};

}  // namespace saemill::api
