#include "control/api/prometheus_text.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace saemill::api {

std::string escape_label(std::string_view value) {
  using Json = nlohmann::json;
  const std::string utf8 =
      Json::parse(Json(value).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
  std::string escaped;
  for (const char c : utf8) {
    if (c == '\\' || c == '"') {
      escaped += '\\';
      escaped += c;
    } else if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c >= 0 && c < ' ' ? ' ' : c;
    }
  }
  return escaped;
}

void PrometheusText::family(const char* name, const char* type, const char* help) {
  name_ = name, type_ = type, help_ = help;
  begun_ = false;
}

void PrometheusText::sample(const PrometheusLabels& labels, int64_t value) {
  line(labels, fmt::format("{}", value));
}

void PrometheusText::sample(const PrometheusLabels& labels, double value) {
  if (std::isfinite(value)) line(labels, fmt::format("{}", value));
}

void PrometheusText::sample(const PrometheusLabels& labels, std::optional<double> value) {
  if (value) sample(labels, *value);
}

void PrometheusText::line(const PrometheusLabels& labels, const std::string& value) {
  if (!begun_) text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name_, help_, type_);
  begun_ = true;
  std::string list;
  for (const auto& [key, text] : labels) {
    if (text.empty()) continue;
    list += fmt::format("{}{}=\"{}\"", list.empty() ? "" : ",", key, escape_label(text));
  }
  text_ +=
      list.empty() ? fmt::format("{} {}\n", name_, value) : fmt::format("{}{{{}}} {}\n", name_, list, value);
}

}  // namespace saemill::api
