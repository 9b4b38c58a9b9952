#include "common/protocol/run_config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/protocol/config_table.h"

namespace saemill {
namespace {

using Json = nlohmann::json;

size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t next = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = std::exchange(row[j], next);
    }
  }
  return row.back();
}

// What was found, for a message: of a long text its beginning.
std::string shown(const std::string& text) {
  size_t end = 200;
  if (text.size() <= end) return text;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not within a character
  return text.substr(0, end) + "...";
}

[[noreturn]] void refuse(ConfigProblem problem) {
  throw ConfigError({std::move(problem)});
}

const ConfigKey& find_key(const std::string& name) {
  constexpr size_t kLongestName = 64;  // beyond, nothing is near
  const auto& table = config_table();
  for (const ConfigKey& key : table)
    if (name == key.name) return key;
  const std::string refused = fmt::format("{} is not a configuration key", shown(name));
  if (name.size() > kLongestName) refuse({name, "unknown_member", refused});
  const auto nearest =
      std::min_element(table.begin(), table.end(), [&](const ConfigKey& a, const ConfigKey& b) {
        return distance(name, a.name) < distance(name, b.name);
      });
  refuse({name,
          "unknown_member",
          fmt::format("{}; did you mean {}?", refused, nearest->name),
          {},
          nearest->name});
}

std::string accepted(const ConfigKey& key, const char* kind) {
  if (!key.choices.empty()) return fmt::format("{}", fmt::join(key.choices, ", "));
  if (std::isinf(key.maximum)) return fmt::format("{} from {}", kind, key.minimum);
  return fmt::format("{} from {} to {}", kind, key.minimum, key.maximum);
}

[[noreturn]] void refuse(const ConfigKey& key, const Json& value, const std::string& what) {
  refuse({key.name, "invalid_value",
          fmt::format("{} is {}; accepted: {}", key.name, shown(value.dump()), what), value, what});
}

void set_value(RunConfig& config, const ConfigKey& key, const Json& value) {
  const ConfigValue target = key.at(config);
  if (auto* const* text = std::get_if<std::string*>(&target)) {
    if (!value.is_string()) refuse(key, value, key.choices.empty() ? "a text" : accepted(key, ""));
    **text = value.get<std::string>();
    if (!key.choices.empty() &&
        std::find(key.choices.begin(), key.choices.end(), **text) == key.choices.end())
      refuse(key, value, accepted(key, ""));
  } else if (auto* const* flag = std::get_if<bool*>(&target)) {
    if (!value.is_boolean()) refuse(key, value, "true, false");
    **flag = value.get<bool>();
  } else {
    const bool whole = std::holds_alternative<int64_t*>(target);
    const char* kind = whole ? "a whole number" : "a number";
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!(number >= key.minimum && number <= key.maximum) || (whole && number != std::floor(number)))
      refuse(key, value, accepted(key, kind));
    if (whole)
      *std::get<int64_t*>(target) =
          value.is_number_float() ? static_cast<int64_t>(number) : value.get<int64_t>();
    else
      *std::get<double*>(target) = number;
  }
}

Json get_value(RunConfig& config, const ConfigKey& key) {
  return std::visit([](auto* value) { return Json(*value); }, key.at(config));
}

// {"train": {"lr": 1}} as {"train.lr": 1}.
void flatten(const Json& tree, const std::string& prefix, std::vector<std::pair<std::string, Json>>& out) {
  for (const auto& [name, value] : tree.items()) {
    if (value.is_object())
      flatten(value, prefix + name + ".", out);
    else
      out.emplace_back(prefix + name, value);
  }
}

Json parse_toml(const std::string& text, const std::string& source) {
  try {
    std::ostringstream json;
    json << toml::json_formatter{toml::parse(text, source)};
    return Json::parse(json.str());
  } catch (const toml::parse_error& error) {
    fail(ErrorCode::bad_config, "{}, line {}: {}", source, error.source().begin.line,
         std::string(error.description()));
  }
}

// "train.lr=3e-4". A bare word is a text.
void apply_override(Json& tree, const std::string& override_text, const std::string& source) {
  const size_t equals = override_text.find('=');
  if (equals == std::string::npos)
    fail(ErrorCode::usage, "--set {} has no \"=\"; accepted: key=value, e.g. train.lr=3e-4", override_text);
  const std::string name = override_text.substr(0, equals), value = override_text.substr(equals + 1);
  find_key(name);
  Json parsed = value;
  try {
    std::ostringstream json;
    json << toml::json_formatter{toml::parse("value = " + value)};
    parsed = Json::parse(json.str())["value"];
  } catch (const toml::parse_error&) {
    parsed = value;
  }
  try {
    static_cast<void>(parsed.dump());
  } catch (const Json::exception&) {
    fail(ErrorCode::bad_config, "--set {} holds bytes that are no UTF-8", name);
  }
  std::string pointer = "/" + name;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  try {
    tree[Json::json_pointer(pointer)] = parsed;
  } catch (const Json::exception&) {  // "sae" is no table there
    fail(ErrorCode::bad_config, "{}: --set {} does not fit what the file holds", source, override_text);
  }
}

std::vector<ConfigProblem> check_together(RunConfig& config, const std::vector<std::string>& given) {
  std::vector<ConfigProblem> found;
  const auto is_given = [&](const char* name) {
    return std::find(given.begin(), given.end(), name) != given.end();
  };
  if (is_given("train.batch_size") && config.train.batch_size_per_device > 0)
    found.push_back({"train.batch_size", "conflict",
                     "train.batch_size and train.batch_size_per_device are both given; accepted: one of them",
                     config.train.batch_size, "one of train.batch_size and train.batch_size_per_device"});
  if (config.train.steps <= 0 && config.train.tokens <= 0 && !(config.train.epochs > 0))
    found.push_back({"train.steps",
                     "missing",
                     "none of train.steps, train.tokens, train.epochs is given; at least one must be above 0",
                     {},
                     "at least one of train.steps, train.tokens and train.epochs above 0"});
  if (config.activations.path.empty() && config.activations.d_in == 0)
    found.push_back({"activations.path",
                     "missing",
                     "activations.path is not given; accepted: a shard or a folder of shards",
                     {},
                     "a shard or a folder of shards"});
  RunConfig defaults;
  for (const ConfigKey& key : config_table())
    if (*key.architecture && config.sae.architecture != key.architecture && is_given(key.name) &&
        get_value(config, key) != get_value(defaults, key))
      found.push_back({key.name, "conflict",
                       fmt::format("{} is given, but sae.architecture is \"{}\"; only {} uses it", key.name,
                                   config.sae.architecture, key.architecture),
                       get_value(config, key)});
  return found;
}

void check_resolved(const RunConfig& config) {
  if (config.sae.architecture == "topk" && config.sae.k > config.sae.d_sae)
    refuse({"sae.k", "invalid_value",
            fmt::format("sae.k is {}; accepted: at most sae.d_sae ({})", config.sae.k, config.sae.d_sae),
            config.sae.k, fmt::format("at most sae.d_sae ({})", config.sae.d_sae)});
  if (config.train.lr_warmup_steps + config.train.lr_decay_steps > config.train.steps &&
      config.train.lr_decay_steps > 0)
    refuse(
        {"train.lr_decay_steps", "conflict",
         fmt::format("train.lr_warmup_steps ({}) and train.lr_decay_steps ({}) are more than the {} steps of "
                     "the run",
                     config.train.lr_warmup_steps, config.train.lr_decay_steps, config.train.steps),
         config.train.lr_decay_steps});
}

std::string lines_of(const std::vector<ConfigProblem>& problems, const std::string& source) {
  std::string text;
  for (const ConfigProblem& problem : problems)
    text += (text.empty() ? "" : "\n") + (source.empty() ? "" : source + ": ") + problem.message;
  return text;
}

}  // namespace

ConfigError::ConfigError(std::vector<ConfigProblem> problems, const std::string& source)
    : Error(ErrorCode::bad_config, lines_of(problems, source)), problems_(std::move(problems)) {}

RunConfig run_config_from_json(const Json& tree) {
  if (!tree.is_object())
    refuse({"", "invalid_value", fmt::format("the configuration is not an object but {}", tree.type_name())});
  std::vector<std::pair<std::string, Json>> values;
  flatten(tree, "", values);
  RunConfig config;
  std::vector<std::string> given;
  std::vector<ConfigProblem> problems;
  for (const auto& [name, value] : values) {
    if (problems.size() == kMostConfigProblems) break;
    try {
      set_value(config, find_key(name), value);
      given.push_back(name);
    } catch (const ConfigError& error) {
      problems.push_back(error.problems().front());
    }
  }
  if (problems.empty()) problems = check_together(config, given);
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return config;
}

nlohmann::ordered_json run_config_to_json(const RunConfig& config) {
  RunConfig copy = config;
  nlohmann::ordered_json tree;
  for (const ConfigKey& key : config_table()) {
    const std::string name = key.name;
    const size_t dot = name.find('.');
    auto& place = dot == std::string::npos ? tree[name] : tree[name.substr(0, dot)][name.substr(dot + 1)];
    place = get_value(copy, key);
  }
  return tree;
}

Json load_config_tree(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  const std::string text = read_file(path);
  Json tree =
      path.extension() == ".json" ? Json::parse(text, nullptr, false) : parse_toml(text, path.string());
  if (tree.is_discarded()) fail(ErrorCode::bad_config, "{}: is not valid JSON", path.string());
  for (const std::string& override_text : overrides) apply_override(tree, override_text, path.string());
  return tree;
}

RunConfig load_run_config(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  const Json tree = load_config_tree(path, overrides);
  try {
    return run_config_from_json(tree);
  } catch (const ConfigError& error) {
    throw ConfigError(error.problems(), path.string());
  }
}

RunConfig resolve_run_config(RunConfig config, int64_t d_in, int64_t rows, int64_t device_count) {
  if (config.activations.d_in != 0 && config.activations.d_in != d_in)
    refuse({"activations.d_in", "invalid_value",
            fmt::format("activations.d_in is {}, but the data has {}; accepted: 0 or {}",
                        config.activations.d_in, d_in, d_in),
            config.activations.d_in, fmt::format("0 or {}", d_in)});
  config.activations.d_in = d_in;
  if (config.sae.d_sae == 0) config.sae.d_sae = 16 * d_in;
  TrainConfig& train = config.train;
  if (train.batch_size_per_device > 0) train.batch_size = train.batch_size_per_device * device_count;
  train.batch_size_per_device = 0;
  if (train.lr == 0) train.lr = 2e-4 / std::sqrt(static_cast<double>(config.sae.d_sae) / 16384.0);
  const auto batch = static_cast<double>(train.batch_size);
  double steps = train.steps > 0 ? static_cast<double>(train.steps) : std::numeric_limits<double>::infinity();
  if (train.tokens > 0) steps = std::min(steps, std::ceil(static_cast<double>(train.tokens) / batch));
  if (train.epochs > 0) steps = std::min(steps, std::ceil(train.epochs * static_cast<double>(rows) / batch));
  train.steps = std::max<int64_t>(1, static_cast<int64_t>(steps));
  train.tokens = 0;
  train.epochs = 0;
  if (train.lr_schedule != "constant" && train.lr_decay_steps == 0)
    train.lr_decay_steps = std::max<int64_t>(0, train.steps - train.lr_warmup_steps);
  check_resolved(config);
  return config;
}

std::vector<std::string> keys_that_change_results(const RunConfig& a, const RunConfig& b) {
  RunConfig left = a, right = b;
  std::vector<std::string> keys;
  // A ReLU micro-batch with too many active latents goes the dense way, and so how large it is counts.
  const bool micro_counts = a.sae.architecture == "relu";
  for (const ConfigKey& key : config_table()) {
    const bool counts =
        key.changes_results || (micro_counts && std::string_view(key.name) == "train.micro_batch_size");
    if (counts && get_value(left, key) != get_value(right, key)) keys.emplace_back(key.name);
  }
  return keys;
}

}  // namespace saemill
