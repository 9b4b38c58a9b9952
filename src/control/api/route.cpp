#include "control/api/route.h"

#include <algorithm>

#include "control/api/endpoints.h"

namespace saemill::api {
namespace {

using enum Route::Work;
using enum Route::Access;

const std::vector<Route>& table() {
  static const std::vector<Route> routes = {
      {"GET", "/healthz", {}, get_healthz, quick, open},
      {"GET", "/metrics", {}, get_metrics},
      {"GET", "/login", {"code"}, get_login, slow, open},

      {"POST", "/api/v1/session", {}, new_session, slow, open},
      {"DELETE", "/api/v1/session", {}, end_session, slow},
      {"POST", "/api/v1/login-codes", {}, new_login_code, quick, token},
      {"GET", "/api/v1/server", {}, get_server},

      {"GET", "/api/v1/system/gpus", {}, list_devices},
      {"GET",
       "/api/v1/system/gpus/recommend",
       {"memory_mb", "count", "kind", "mixed_models", "exclude"},
       recommend_devices,
       slow},
      {"POST", "/api/v1/system/gpus/validate", {}, validate_devices, slow},
      {"GET", "/api/v1/system/gpus/{id}", {}, one_device},
      {"GET", "/api/v1/system/gpus/{id}/history", {"from", "to", "buckets", "fields"}, device_history, slow},
      {"GET", "/api/v1/system/metrics", {"view"}, system_metrics},
      {"GET", "/api/v1/system/host", {}, system_host},

      {"POST", "/api/v1/trainings/estimate", {}, estimate_training, slow},
      {"GET", "/api/v1/trainings", {"status", "group_id", "page", "limit"}, list_trainings, slow},
      {"POST", "/api/v1/trainings", {}, create_trainings, slow},
      {"GET", "/api/v1/trainings/{id}", {}, one_training, slow},
      {"DELETE", "/api/v1/trainings/{id}", {}, erase_training, slow},
      {"POST", "/api/v1/trainings/{id}/control", {}, control_training, slow},
      {"POST", "/api/v1/trainings/{id}/duplicate", {}, duplicate_training, slow},
      {"GET",
       "/api/v1/trainings/{id}/metrics",
       {"names", "from_step", "to_step", "buckets", "rank"},
       training_metrics,
       slow},
      {"GET", "/api/v1/trainings/{id}/events", {"since", "limit"}, training_events, slow},
      {"GET", "/api/v1/trainings/{id}/checkpoints", {}, list_checkpoints, slow},
      {"GET", "/api/v1/trainings/{id}/checkpoints/{name}", {}, list_checkpoint_files, slow},
      {"DELETE", "/api/v1/trainings/{id}/checkpoints/{name}", {}, erase_checkpoint, slow},
      {"GET", "/api/v1/trainings/{id}/checkpoints/{name}/{file}", {}, get_checkpoint_file, slow},
      {"GET", "/api/v1/trainings/{id}/sae", {}, list_sae_files, slow},
      {"GET", "/api/v1/trainings/{id}/sae/{file}", {}, get_sae_file, slow},
      {"GET", "/api/v1/trainings/{id}/logs", {"rank", "tail", "offset"}, get_log, slow},
      {"POST", "/api/v1/activations/inspect", {}, inspect_activations, slow},

      {"GET",
       "/api/v1/events",
       {"since", "severity", "device", "training", "page", "limit"},
       list_events,
       slow},
      {"GET", "/api/v1/config-schema", {}, get_config_schema},
      {"GET", "/api/v1/metric-catalog", {}, get_metric_catalog},
      {"GET", "/api/v1/openapi.json", {}, get_openapi},
  };
  return routes;
}

// "/api/v1/system/gpus/{id}" -> its segments.
std::vector<std::string_view> split(std::string_view pattern) {
  std::vector<std::string_view> segments;
  for (size_t begin = 1; begin <= pattern.size();) {
    const size_t end = std::min(pattern.find('/', begin), pattern.size());
    segments.push_back(pattern.substr(begin, end - begin));
    begin = end + 1;
  }
  return segments;
}

bool fits(const Route& route, const Target& target, std::map<std::string, std::string>& path) {
  const auto wanted = split(route.pattern);
  // A slash at the end names something else.
  if (wanted.size() != target.segments.size() || target.path.ends_with('/')) return false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].starts_with('{')) {
      path[std::string(wanted[i].substr(1, wanted[i].size() - 2))] = target.segments[i];
    } else if (wanted[i] != target.segments[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::span<const Route> route_table() {
  return table();
}

Match match(const std::string& method, const Target& target) {
  Match found;
  std::string fixed;  // the pattern that was matched first: "recommend" is no device
  for (const Route& route : table()) {
    std::map<std::string, std::string> path;
    if (!fixed.empty() && fixed != route.pattern) continue;
    if (!fits(route, target, path)) continue;
    fixed = route.pattern;
    if (method == route.method) return {&route, std::move(path), ""};
    found.allowed += (found.allowed.empty() ? "" : ", ") + std::string(route.method);
    if (std::string_view(route.method) == "GET") found.allowed += ", HEAD";
  }
  return found;
}

}  // namespace saemill::api
