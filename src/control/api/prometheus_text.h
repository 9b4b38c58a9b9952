// Prometheus' text format 0.0.4, written family by family.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace saemill::api {

// Names, and values as they are: the writer escapes them. A label with an empty value is left out.
using PrometheusLabels = std::vector<std::pair<std::string, std::string>>;

class PrometheusText {
 public:
  // The samples that follow belong to it. It is not mentioned unless it has one.
  void family(const char* name, const char* type, const char* help);
  void sample(const PrometheusLabels& labels, int64_t value);
  // Nothing where there is no number.
  void sample(const PrometheusLabels& labels, double value);
  void sample(const PrometheusLabels& labels, std::optional<double> value);

  // A family of one sample without labels.
  template <typename Value>
  void single(const char* name, const char* type, const char* help, Value value) {
    family(name, type, help);
    sample({}, value);
  }

  const std::string& text() const { return text_; }

 private:
  void line(const PrometheusLabels& labels, const std::string& value);

  const char *name_ = "", *type_ = "", *help_ = "";
  bool begun_ = false;
  std::string text_;
};

// Between the quotes of a label: backslash, quote and newline escaped; bytes that are no UTF-8 replaced,
// since one would cost the whole scrape.
std::string escape_label(std::string_view value);

}  // namespace saemill::api
