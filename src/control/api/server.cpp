// Endpoints: the server itself.
#include "common/base/clock.h"
#include "control/api/endpoints.h"
#include "control/api/problem.h"
#include "control/api/prometheus.h"

namespace saemill::api {
namespace {

constexpr double kStaleSeconds = 130;  // two of the longest sampling periods

}  // namespace

std::shared_ptr<const Snapshot> snapshot_of(const Services& services) {
  auto snapshot = services.snapshot();
  if (snapshot) return snapshot;
  Problem problem(503, "unavailable", "the devices are being read for the first time");
  problem.headers.emplace_back("Retry-After", "1");
  throw problem;
}

// Tells strangers nothing but that somebody is at home.
HttpResponse get_healthz(Services& services, const Request&) {
  const auto snapshot = services.snapshot();
  // The leases may still be read where nothing can be written, as on a full disk.
  const bool fresh = snapshot && epoch_seconds() - snapshot->epoch < kStaleSeconds;
  const bool well = fresh && snapshot->store_problem.empty() && services.recorder().error.empty() &&
                    services.event_recorder().error.empty() && services.last_look().error.empty();
  return json_response({{"status", well ? "ok" : "degraded"}});
}

HttpResponse get_server(Services& services, const Request&) {
  const ServerInfo& info = services.info;
  const MonitorCost cost = services.monitor_cost();
  const Recorder::Status history = services.recorder();
  const EventRecorder::Status events = services.event_recorder();
  const NetStatus net = services.net();
  const Jobs::Look look = services.last_look();
  Json json{
      {"server_id", info.server_id},
      {"boot", info.boot},
      {"version", info.version},
      {"host", info.host},
      {"started_at", utc_time(info.started_at)},
      {"database", info.database},
      {"sampler",
       {{"samples", cost.samples},
        {"mean_ms", cost.mean_ms},
        {"max_ms", cost.max_ms},
        {"cpu_percent", cost.cpu_percent}}},
      {"history", {{"waiting", history.waiting}, {"dropped", history.dropped}, {"error", history.error}}},
      {"events", {{"waiting", events.waiting}, {"dropped", events.dropped}, {"error", events.error}}},
      {"trainings",
       {{"queued", look.queued}, {"active", look.active}, {"pass_ms", look.pass_ms}, {"error", look.error}}},
      {"connections", net.connections},
      {"websockets", net.websockets}};
  if (const auto snapshot = services.snapshot()) {
    json["driver"] = {{"state", snapshot->driver.state},
                      {"message", snapshot->driver.message},
                      {"driver_version", snapshot->driver.driver_version}};
    json["store_problem"] = snapshot->store_problem;
  }
  return json_response(json);
}

HttpResponse get_metrics(Services& services, const Request&) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = prometheus_text(services);
  return response;
}

}  // namespace saemill::api
