#include "control/launch/report_reader.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/protocol/worker_protocol.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

bool has_count(const Json& report, const char* key) {
  const auto it = report.find(key);
  return it != report.end() && it->is_number_integer() && it->get<int64_t>() >= 0;
}

bool has_string(const Json& report, const char* key) {
  const auto it = report.find(key);
  return it != report.end() && it->is_string();
}

bool are_numbers(const Json& values) {
  return std::all_of(values.begin(), values.end(),
                     [](const Json& value) { return value.is_number() || value.is_null(); });
}

// {"values": {name: number}, "ranks": {name: [number of each rank]}}; one rank alone tells no ranks.
bool has_values(const Json& report) {
  const auto values = report.find("values"), ranks = report.find("ranks");
  if (values == report.end() || !values->is_object() || !are_numbers(*values)) return false;
  if (ranks == report.end()) return true;
  return ranks->is_object() && std::all_of(ranks->begin(), ranks->end(), [](const Json& of_each) {
           return of_each.is_array() && are_numbers(of_each);
         });
}

bool has_object(const Json& report, const char* key) {
  const auto it = report.find(key);
  return it != report.end() && it->is_object();
}

bool well_formed(const Json& report) {
  if (!report.is_object() || !has_string(report, "event") || !has_count(report, "rank")) return false;
  const auto& event = report["event"].get_ref<const std::string&>();
  if (event == "heartbeat") return has_count(report, "step") && has_string(report, "phase");
  if (event == "started") return has_count(report, "step") && has_object(report, "plan");
  if (event == "metrics") return has_count(report, "step") && has_values(report);
  if (event == "checkpoint") return has_count(report, "step") && has_string(report, "path");
  if (event == "warning") return has_string(report, "code") && has_string(report, "message");
  if (event == "finished") return has_count(report, "step") && has_object(report, "report");
  if (event == "paused") return has_count(report, "step");
  if (event == "failed") return has_count(report, "code") && has_string(report, "reason");
  return false;
}

}  // namespace

void LineSplitter::feed(std::string_view bytes, const std::function<void(std::string_view)>& line) {
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const bool complete = newline != std::string_view::npos;
    const std::string_view piece = bytes.substr(0, newline);
    if (!skipping_ && pending_.size() + piece.size() + 1 > limit_) {
      skipping_ = true;
      ++too_long_;
      pending_.clear();
    }
    if (!skipping_) pending_.append(piece);
    if (!complete) return;
    if (!skipping_) line(pending_);
    pending_.clear();
    skipping_ = false;
    bytes.remove_prefix(newline + 1);
  }
}

Json parse_report(std::string_view line) {
  Json report = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  return well_formed(report) ? report : Json(Json::value_t::discarded);
}

ReportReader::ReportReader(Fd fd) : fd_(std::move(fd)), splitter_(kMaxReportLine) {}

bool ReportReader::read_available(const Handler& handler) {
  // Bounded, so that one rank that writes without end cannot starve the others.
  constexpr int kReadsPerTurn = 64;
  std::array<char, 16 * 1024> buffer;
  for (int turn = 0; fd_ && turn < kReadsPerTurn; ++turn) {
    const ssize_t n = ::read(fd_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) {
      close();
      return false;
    }
    splitter_.feed({buffer.data(), static_cast<size_t>(n)}, [&](std::string_view line) {
      const Json report = parse_report(line);
      if (report.is_discarded()) {
        ++not_reports_;
      } else {
        handler(report);
      }
    });
  }
  return open();
}

}  // namespace saemill
