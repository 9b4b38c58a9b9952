// Endpoints: what there is to know about configurations, metrics and this interface.
#include "common/protocol/config_schema.h"
#include "common/protocol/metric_catalog.h"
#include "control/api/endpoints.h"
#include "control/api/openapi.h"

namespace saemill::api {

HttpResponse get_config_schema(Services&, const Request&) {
  return json_response(config_schema());
}

HttpResponse get_metric_catalog(Services&, const Request&) {
  Json rows = Json::array();
  for (const MetricRow& row : metric_catalog())
    rows.push_back({{"name", row.name},
                    {"label", row.label},
                    {"unit", row.unit},
                    {"direction", row.direction},
                    {"help", row.help}});
  return json_response({{"data", std::move(rows)}});
}

HttpResponse get_openapi(Services&, const Request&) {
  HttpResponse response;
  response.body = openapi_json();
  return response;
}

}  // namespace saemill::api
