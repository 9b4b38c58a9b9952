// Endpoints: the devices and the machine around them.
#include <algorithm>
#include <cmath>

#include "common/base/clock.h"
#include "control/api/endpoints.h"
#include "control/api/problem.h"
#include "control/api/series_json.h"
#include "control/api/time_parameter.h"
#include "control/monitor/recorder.h"

namespace saemill::api {
namespace {

constexpr int64_t kDefaultSpan = 3600;  // s of history

const Device& device_of(const Snapshot& snapshot, const std::string& id) {
  const Device* device = find_device(snapshot.devices, id);
  if (device == nullptr)
    throw Problem(
        404, "not_found",
        fmt::format("there is no device {}; accepted: an index below {}, a uuid, or a name (gpu:0, cpu:1)",
                    id.substr(0, 100), snapshot.devices.size()));
  return *device;
}

Json to_json(const HistorySeries& series, const std::string& uuid) {
  Json json{{"uuid", uuid}, {"bucket_s", series.bucket_s}, {"time", series.time}};
  for (const auto& field : series.fields) json[field.name] = columns_json(field.min, field.mean, field.max);
  Json jobs = Json::array();
  for (const std::string& job : series.job) jobs.push_back(job.empty() ? Json(nullptr) : Json(job));
  json["job"] = std::move(jobs);
  return json;
}

}  // namespace

HttpResponse list_devices(Services& services, const Request&) {
  return json_response(devices_json(snapshot_of(services)->devices));
}

HttpResponse one_device(Services& services, const Request& request) {
  const auto snapshot = snapshot_of(services);
  return json_response(saemill::to_json(device_of(*snapshot, request.path_of("id"))));
}

HttpResponse device_history(Services& services, const Request& request) {
  const auto snapshot = snapshot_of(services);
  // A device that is gone still has a past, under its uuid.
  const std::string id = request.path_of("id");
  const Device* known = find_device(snapshot->devices, id);
  const bool uuid = id.starts_with("GPU-") || id.starts_with("MIG-") || id.starts_with("CPU-");
  HistoryQuery query;
  query.uuid = known == nullptr && uuid ? id : device_of(*snapshot, id).uuid;
  const auto now = static_cast<int64_t>(epoch_seconds());
  query.to = time_parameter(request, "to", now + 1);
  query.from = time_parameter(request, "from", query.to - kDefaultSpan);
  query.buckets = request.integer("buckets", 300, 1, 5000);
  query.fields = request.list("fields");
  return json_response(to_json(services.history->query(query), query.uuid));
}

HttpResponse system_metrics(Services& services, const Request& request) {
  const auto snapshot = snapshot_of(services);
  const std::string view = request.one_of("view", "aggregated", {"aggregated", "per_gpu"});
  return json_response(view == "per_gpu" ? devices_json(snapshot->devices) : aggregate(snapshot->devices));
}

HttpResponse system_host(Services& services, const Request&) {
  return json_response(saemill::to_json(snapshot_of(services)->host));
}

}  // namespace saemill::api
