// Endpoints: what happened to the machine.
#include "control/api/endpoints.h"
#include "control/api/event_json.h"

namespace saemill::api {

Json to_json(const MachineEvent& event) {
  Json json = Json::object();
  if (event.id > 0) json["id"] = event.id;
  json["time"] = utc_time(event.time);
  json["severity"] = to_string(event.severity);
  json["code"] = event.code;
  json["over"] = event.over;
  json["host"] = event.host;
  if (!event.device_uuid.empty()) json["device_uuid"] = event.device_uuid;
  if (!event.training_id.empty()) json["training_id"] = event.training_id;
  json["message"] = event.message;
  return json;
}

HttpResponse list_events(Services& services, const Request& request) {
  EventQuery query;
  query.since = request.integer("since", 0, 0, INT64_MAX);
  query.at_least = severity_of(request.one_of("severity", "info", {"info", "warning", "error"}));
  query.device_uuid = request.text("device").value_or("");
  query.training_id = request.text("training").value_or("");
  query.page = request.integer("page", 1, 1, 1'000'000);
  query.limit = request.integer("limit", 50, 1, 500);
  const EventPage found = services.events->query(query);
  Json data = Json::array();
  for (const MachineEvent& event : found.events) data.push_back(to_json(event));
  return page_response(std::move(data), query.page, query.limit, found.total);
}

}  // namespace saemill::api
