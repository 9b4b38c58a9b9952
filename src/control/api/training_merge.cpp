#include "control/api/training_merge.h"

#include <algorithm>
#include <initializer_list>

#include "common/protocol/config_table.h"

namespace saemill::api {
namespace {

using Flat = std::map<std::string, Json>;  // "train.lr" -> value

constexpr const char* kPlace = "/overrides";

[[noreturn]] void refuse(const std::string& pointer, const char* code, const std::string& message) {
  throw Problem(422, "invalid_request", message, {{pointer, code, message, nullptr, nullptr}});
}

void flatten(const Json& tree, const Json::json_pointer& place, const std::string& key, Flat& values,
             std::map<std::string, std::string>& places) {
  for (const auto& [name, value] : tree.items()) {
    const std::string full = key.empty() ? name : key + "." + name;
    const Json::json_pointer at = place / name;
    if (value.is_object()) {
      flatten(value, at, full, values, places);
      continue;
    }
    const std::string pointer = kPlace + at.to_string();
    if (!places.emplace(full, pointer).second)
      refuse(pointer, "conflict", full.substr(0, 100) + " is given twice");
    values[full] = value;
  }
}

RunConfig config_of(const Json& resolved) {
  return run_config_from_json(nlohmann::json(resolved));
}

// What resolve_run_config() made of other keys, and what only another architecture uses, is left out where
// those change.
void drop_derived(const Json& resolved, const Flat& overrides, Flat& values) {
  const RunConfig before = config_of(resolved);
  const auto changes = [&](std::initializer_list<const char*> keys) {
    return std::any_of(keys.begin(), keys.end(), [&](const char* key) { return overrides.contains(key); });
  };
  const bool longer = changes({"train.steps", "train.tokens", "train.epochs"});
  if (changes({"train.batch_size_per_device"})) values.erase("train.batch_size");
  if (longer && !changes({"train.steps"})) values.erase("train.steps");
  if (changes({"activations.path", "activations.tensor"})) values.erase("activations.d_in");
  RunConfig plain = before;
  plain.train.lr = 0;
  if (resolve_run_config(plain, before.activations.d_in, 1, 1).train.lr == before.train.lr &&
      changes({"sae.d_sae"}))
    values.erase("train.lr");
  const bool whole_decay =
      before.train.lr_decay_steps == std::max<int64_t>(0, before.train.steps - before.train.lr_warmup_steps);
  if (whole_decay && (longer || changes({"train.lr_warmup_steps", "train.lr_schedule"})))
    values.erase("train.lr_decay_steps");
  const auto architecture = overrides.find("sae.architecture");
  if (architecture == overrides.end()) return;
  for (const ConfigKey& key : config_table())
    if (*key.architecture && architecture->second != key.architecture) values.erase(key.name);
}

}  // namespace

MergedConfig merge_config(const Json& resolved, const Json& overrides) {
  if (!overrides.is_object())
    refuse(kPlace, "invalid_value",
           std::string("overrides is ") + overrides.type_name() +
               "; accepted: an object of keys (train.lr) or the tree of a configuration");
  MergedConfig merged;
  Flat values, changed;
  std::map<std::string, std::string> places;
  flatten(resolved, Json::json_pointer(), "", values, places);
  flatten(overrides, Json::json_pointer(), "", changed, merged.given);
  drop_derived(resolved, changed, values);
  for (const auto& [key, value] : changed) values[key] = value;
  merged.config = Json::object();
  for (const auto& [key, value] : values) merged.config[key] = value;
  return merged;
}

Problem problem_of_merge(const Problem& problem, const MergedConfig& merged) {
  std::vector<FieldError> errors = problem.errors();
  for (FieldError& error : errors) {
    if (!error.pointer.starts_with("/config")) continue;
    std::string key = error.pointer.substr(std::min(error.pointer.size(), std::string("/config/").size()));
    std::replace(key.begin(), key.end(), '/', '.');
    const auto found = merged.given.find(key);
    error.pointer = found != merged.given.end() ? found->second : kPlace;
  }
  return {problem.status(), problem.code(), problem.what(), std::move(errors)};
}

}  // namespace saemill::api
