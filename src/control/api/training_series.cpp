// Endpoints: what a training measured, and what it told.
#include "control/api/endpoints.h"
#include "control/api/series_json.h"
#include "control/api/training_request.h"

namespace saemill::api {
namespace {

constexpr int64_t kMostRank = 65535;

// The line as the launcher wrote it; of one that the store could not keep whole, what is in its columns.
Json event_json(const TrainingEvent& event) {
  Json line = Json::parse(event.data, nullptr, false);
  if (line.is_object() && line.contains("seq") && line.contains("event")) return line;
  return {{"seq", event.seq}, {"attempt", event.attempt}, {"event", event.event}};
}

}  // namespace

HttpResponse training_metrics(Services& services, const Request& request) {
  MetricQuery query;
  query.names = request.list("names");
  query.from_step = request.integer("from_step", 0, 0, kMostStep);
  query.to_step = request.integer("to_step", kMostStep, 0, kMostStep);
  query.buckets = request.integer("buckets", 300, 1, TrainingMetrics::kMostBuckets);
  if (request.has("rank")) query.rank = request.integer("rank", 0, 0, kMostRank);
  query.training = training_of(services, request).id;
  const MetricSeries found = services.training_metrics->query(query);
  Json series = Json::object();
  for (const MetricSeries::Metric& metric : found.metrics)
    series[metric.name] = columns_json(metric.min, metric.mean, metric.max);
  return json_response(
      {{"step", found.step}, {"time", found.time}, {"series", std::move(series)}, {"exact", found.exact}});
}

HttpResponse training_events(Services& services, const Request& request) {
  const int64_t since = request.integer("since", -1, -1, kMostStep);
  const int64_t limit = request.integer("limit", 100, 1, TrainingEvents::kMostPerPage);
  const std::string id = training_of(services, request).id;
  Json data = Json::array();
  for (const TrainingEvent& event : services.training_events->since(id, since, limit))
    data.push_back(event_json(event));
  return json_response({{"data", std::move(data)}});
}

}  // namespace saemill::api
