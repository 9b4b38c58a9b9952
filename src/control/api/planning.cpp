// Endpoints: which devices a training could take, what it takes of them, and what its activations hold.
#include "control/api/planning.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/api/allowed_path.h"
#include "control/api/endpoints.h"
#include "control/api/problem.h"
#include "control/jobs/past_runs.h"
#include "control/select/selection.h"

namespace saemill::api {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMegabyte = 1'000'000;
constexpr int64_t kMostMegabytes = int64_t{1} << 40;
constexpr int64_t kMostDevices = 1024;
constexpr const char* kActivationsPath = "/config/activations/path";

// A value as found; of a long one its beginning.
Json shown(const nlohmann::json& value) {
  constexpr size_t kLongest = 200;
  const std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.size() <= kLongest ? Json(value) : Json(text.substr(0, kLongest) + "...");
}

// "sae.k" -> "/config/sae/k".
std::string pointer_to(const std::string& key) {
  std::string pointer = key.empty() ? "/config" : "/config/";
  for (const char c : key) {
    if (c == '.') {
      pointer += '/';
    } else if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
  return pointer;
}

Problem problem_of_config(const ConfigError& error) {
  std::vector<FieldError> errors;
  std::string detail;
  for (const ConfigProblem& problem : error.problems()) {
    detail += (detail.empty() ? "" : "; also ") + problem.message;
    errors.push_back({pointer_to(problem.key), problem.code, problem.message, shown(problem.value),
                      problem.accepted.empty() ? Json() : Json(problem.accepted)});
  }
  return {422, "invalid_config", detail, std::move(errors)};
}

// What saemill-worker says of an allowed path. What is wrong with the file is the asker's, at `pointer`.
Json ask_worker(const Services& services, const fs::path& path, const std::string& tensor,
                const std::string& code, const std::string& pointer) {
  constexpr size_t kLongestName = 1000;
  if (tensor.size() > kLongestName || tensor.find('\0') != std::string::npos)
    throw Problem(422, code,
                  "the tensor's name is too long, or has a NUL");  // a word of a command cannot be that
  try {
    return services.inspect(path, tensor);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::bad_data && error.code() != ErrorCode::usage) throw;
    std::error_code failure;
    const bool gone = !fs::exists(path, failure);
    throw Problem(gone ? 404 : 422, gone ? "not_found" : code, error.what(),
                  {{pointer, gone ? "not_found" : "invalid_value", error.what(), path.string(), nullptr}});
  }
}

std::optional<DataShape> shape_of_data(const Services& services, RunConfig& config) {
  ActivationsConfig& activations = config.activations;
  if (activations.path.empty()) return std::nullopt;  // then there is a d_in
  fs::path path;
  try {
    path = allowed_path(activations.path, services.activation_folders, kActivationsPath);
  } catch (const Problem& problem) {
    if (problem.status() == 404 && activations.d_in > 0) return std::nullopt;
    throw;
  }
  activations.path = path.string();
  const Json found = ask_worker(services, path, activations.tensor, "invalid_config", kActivationsPath);
  return DataShape{found.at("rows").get<int64_t>(), found.at("d_in").get<int64_t>()};
}

// A name that a machine with more devices would have.
bool could_exist(const std::string& id) {
  const std::string number = id.starts_with("gpu:") || id.starts_with("cpu:") ? id.substr(4) : "";
  return !number.empty() && number.size() <= 4 &&
         std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The devices to estimate for, by short name: each once, all of one kind, and not necessarily here.
std::vector<std::string> names_to_estimate(const Snapshot& snapshot, const Members& body) {
  if (!body.has("gpu_ids"))
    return first_names(snapshot,
                       body.has("device_count") ? body.integer("device_count", 1, kMostDevices) : 1);
  std::vector<std::string> names;
  std::vector<FieldError> errors;
  const auto ids = body.ids("gpu_ids");
  for (size_t i = 0; i < ids.size(); ++i) {
    const Device* device = find_device(snapshot.devices, ids[i]);
    const std::string name = device != nullptr ? short_name(snapshot.devices, *device) : ids[i];
    const std::string pointer = fmt::format("/gpu_ids/{}", i), id = ids[i].substr(0, 100);
    if (device == nullptr && !could_exist(name))
      errors.push_back({pointer, "does_not_exist", fmt::format("there is no device {}", id), id,
                        "an index, a uuid, or a name (gpu:0, cpu:1)"});
    else if (std::find(names.begin(), names.end(), name) != names.end())
      errors.push_back({pointer, "named_twice", fmt::format("{} is named twice", id), id, nullptr});
    names.push_back(name);
  }
  if (errors.empty() && !of_one_kind(snapshot, names))
    errors.push_back(
        {"/gpu_ids", "mixed_models", "GPUs and CPU slots do not train together", nullptr, nullptr});
  if (errors.empty()) return names;
  const std::string detail = errors.front().message;
  throw Problem(422, "invalid_request", detail, std::move(errors));
}

// Uuids of a list of ids, separated by commas.
std::vector<std::string> excluded(const Snapshot& snapshot, const Request& request) {
  std::vector<std::string> uuids;
  const std::string text = request.text("exclude").value_or("");
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string id = text.substr(begin, end - begin);
    begin = end + 1;
    const Device* device = find_device(snapshot.devices, id);
    if (device == nullptr) {
      const std::string message = fmt::format("exclude: there is no device \"{}\"", id.substr(0, 100));
      throw Problem(400, "invalid_parameter", message,
                    {{"?exclude", "does_not_exist", message, id.substr(0, 100),
                      "indices, uuids or names (gpu:0, cpu:1), separated by commas"}});
    }
    uuids.push_back(device->uuid);
  }
  return uuids;
}

// The name of those that are here: a machine with more devices would have more of them.
std::string known_name(const Snapshot& snapshot, std::vector<std::string> names) {
  std::erase_if(names,
                [&](const std::string& name) { return find_device(snapshot.devices, name) == nullptr; });
  return common_name(snapshot, names);
}

}  // namespace

AskedTraining asked_training(const Services& services, const Json& config) {
  try {
    AskedTraining asked{run_config_from_json(nlohmann::json(config)), std::nullopt};
    asked.data = shape_of_data(services, asked.config);
    return asked;
  } catch (const ConfigError& error) {
    throw problem_of_config(error);
  }
}

Estimate estimate_asked(const AskedTraining& asked, const EstimateDevices& devices) {
  try {
    return estimate_on(asked.config, asked.data, devices, static_cast<int64_t>(allowed_cores().size()));
  } catch (const ConfigError& error) {
    throw problem_of_config(error);
  }
}

RunConfig resolve_asked(const Services& services, const AskedTraining& asked, int64_t device_count) {
  const std::string& path = asked.config.activations.path;
  if (!asked.data) {
    allowed_path(path, services.activation_folders, kActivationsPath);
    fail(ErrorCode::retry, "{} has only just appeared", path);
  }
  try {
    return resolve_run_config(asked.config, asked.data->d_in, asked.data->rows, device_count);
  } catch (const ConfigError& error) {
    throw problem_of_config(error);
  }
}

HttpResponse recommend_devices(Services& services, const Request& request) {
  const auto snapshot = snapshot_of(services);
  RecommendRequest wanted;
  wanted.memory = request.integer("memory_mb", 0, 0, kMostMegabytes) * kMegabyte;
  wanted.count = static_cast<int>(request.integer("count", 1, 1, kMostDevices));
  wanted.kind = request.one_of("kind", "any", {"any", "gpu", "cpu"});
  wanted.mixed_models = request.one_of("mixed_models", "false", {"true", "false"}) == "true";
  wanted.exclude = excluded(*snapshot, request);
  const Recommendation found = recommend(*snapshot, wanted);
  const Json json = saemill::to_json(found);
  if (!found.choices.empty()) return json_response(json);
  Problem problem(409, "insufficient_gpus", found.help);
  for (const char* name : {"asked", "suitable", "rejected"}) problem.more[name] = json.at(name);
  throw problem;
}

HttpResponse validate_devices(Services& services, const Request& request) {
  const Members body(request.body, {"gpu_ids", "memory_mb", "config"});
  body.not_both("memory_mb", "config");
  const auto ids = body.ids("gpu_ids");
  int64_t memory = body.has("memory_mb") ? body.integer("memory_mb", 0, kMostMegabytes) * kMegabyte : 0;
  std::optional<AskedTraining> asked;
  if (body.has("config")) asked = asked_training(services, body.at("config"));
  const auto snapshot = snapshot_of(services);  // after the worker, which may take its time
  if (asked)
    memory = estimate_asked(*asked, estimate_devices(*snapshot, ids, services.gpu_constants)).memory_required;
  return json_response(saemill::to_json(validate(*snapshot, ids, memory)));
}

HttpResponse estimate_training(Services& services, const Request& request) {
  const Members body(request.body, {"config", "gpu_ids", "device_count"});
  body.not_both("gpu_ids", "device_count");
  const auto names = names_to_estimate(*snapshot_of(services), body);  // refuses before the worker is asked
  const AskedTraining asked = asked_training(services, body.at("config"));
  const auto snapshot = snapshot_of(services);
  const EstimateDevices devices = estimate_devices(*snapshot, names, services.gpu_constants);
  const Estimate estimate = estimate_asked(asked, devices);
  Json json = saemill::to_json(estimate, devices, names, *snapshot);
  SpeedShape shape = speed_shape(asked.config);
  if (asked.data) shape.d_in = asked.data->d_in;
  shape.batch = estimate.batch_global;
  if (const std::string name = known_name(*snapshot, names); !name.empty())
    add_speed(json, estimate_speed(shape, name, devices.count,
                                   past_runs(*services.measured_runs, services.info.server_id, *snapshot)));
  return json_response(json);
}

HttpResponse inspect_activations(Services& services, const Request& request) {
  const Members body(request.body, {"path", "tensor"});
  const fs::path path = allowed_path(body.text("path"), services.activation_folders, "/path");
  const std::string tensor = body.has("tensor") ? body.text("tensor") : "";
  return json_response(ask_worker(services, path, tensor, "invalid_request", "/path"));
}

}  // namespace saemill::api
