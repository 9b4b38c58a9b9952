#include "control/jobs/event_line.h"

#include <cmath>
#include <filesystem>

#include "common/base/clock.h"

namespace saemill {
namespace {

using Json = nlohmann::json;

// Deeper values cannot be ours, and some of what is done with JSON recurses.
constexpr int kDeepest = 32;

Json parse(std::string_view line) {
  bool too_deep = false;
  Json json = Json::parse(
      line.begin(), line.end(),
      [&](int depth, Json::parse_event_t, const Json&) {
        too_deep |= depth > kDeepest;
        return depth <= kDeepest;
      },
      /*allow_exceptions=*/false);
  return too_deep ? Json(Json::value_t::discarded) : json;
}

std::optional<int64_t> count_of(const Json& json) {
  if (!json.is_number_integer()) return std::nullopt;
  // A huge unsigned number becomes a negative one here.
  const auto value = json.get<int64_t>();
  if (value < 0 || value > kMostStep) return std::nullopt;
  return value;
}

std::optional<int64_t> count_of(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() ? count_of(*at) : std::nullopt;
}

// Absent unless all of it is right: half a list would take the rest for removed.
std::optional<std::vector<int64_t>> counts_of(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_array()) return std::nullopt;
  std::vector<int64_t> all;
  for (const Json& value : *at) {
    const auto count = count_of(value);
    if (!count) return std::nullopt;
    all.push_back(*count);
  }
  return all;
}

const std::string* text_of(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get_ptr<const std::string*>() : nullptr;
}

int64_t time_of(const Json& object) {
  const std::string* text = text_of(object, "time");
  const std::optional<double> seconds = text ? parse_utc_time(*text) : std::optional<double>();
  return seconds ? static_cast<int64_t>(std::llround(*seconds * 1e3)) : 0;
}

void add_metric(RunEvent& event, const std::string& name, const Json& value, int64_t rank) {
  if (value.is_null()) event.metrics.push_back({name, std::nullopt, rank});
  if (!value.is_number()) return;
  const auto number = value.get<double>();
  const bool finite = std::isfinite(number);
  event.metrics.push_back({name, finite ? std::optional<double>(number) : std::optional<double>(), rank});
}

// {"values": {name: value}, "ranks": {name: [a value of each rank]}}
bool read_values(const Json& object, RunEvent& event) {
  const auto values = object.find("values");
  if (values == object.end() || !values->is_object()) return false;
  for (const auto& [name, value] : values->items()) {
    if (name.size() > kLongestMetricName) return false;
    add_metric(event, name, value, kAllRanks);
  }
  const auto ranks = object.find("ranks");
  if (ranks == object.end() || !ranks->is_object()) return true;
  for (const auto& [name, of_each] : ranks->items()) {
    if (name.size() > kLongestMetricName) return false;
    if (!of_each.is_array()) continue;
    for (size_t rank = 0; rank < of_each.size(); ++rank)
      add_metric(event, name, of_each[rank], static_cast<int64_t>(rank));
  }
  return true;
}

}  // namespace

std::optional<EventLine> parse_event_line(std::string_view text) {
  EventLine line;
  line.data = parse(text);
  if (!line.data.is_object()) return std::nullopt;
  const auto seq = count_of(line.data, "seq");
  const std::string* kind = text_of(line.data, "event");
  if (!seq || *seq < 1 || !kind) return std::nullopt;
  RunEvent& event = line.event;
  event.seq = *seq;
  event.event = *kind;
  event.time_ms = time_of(line.data);
  event.attempt = count_of(line.data, "attempt").value_or(0);
  event.step = count_of(line.data, "step");
  event.bytes = count_of(line.data, "bytes").value_or(0);
  if (*kind == "started") event.total_steps = count_of(line.data, "total_steps");
  const bool placed = *kind == "metrics" || *kind == "checkpoint" || *kind == "rewind";
  if (placed && !event.step) return std::nullopt;
  if (*kind == "metrics" && !read_values(line.data, event)) return std::nullopt;
  if (*kind == "rewind") {
    const auto chosen = line.data.find("chosen");
    event.chosen = chosen != line.data.end() && *chosen == true;
  }
  if (*kind == "checkpoint") {
    const std::string* path = text_of(line.data, "path");
    if (!path) return std::nullopt;
    event.checkpoint = std::filesystem::path(*path).filename().string();
    event.kept = counts_of(line.data, "kept");
  }
  return line;
}

}  // namespace saemill
