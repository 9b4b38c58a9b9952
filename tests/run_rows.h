// What a training's rows are, and what they must be by a plain reading of the whole file. For tests.
#pragma once

#include <soci/soci.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/clock.h"
#include "common/protocol/events.h"
#include "control/store/database.h"

namespace saemill::testing_tools {

using Json = nlohmann::json;

struct RunRows {
  using Metric = std::tuple<std::optional<double>, int64_t, int64_t>;  // value, time_ms, attempt
  using Checkpoint = std::tuple<std::string, int64_t, int64_t, std::optional<int64_t>>;
  using Event = std::tuple<int64_t, int64_t, std::string, std::string>;  // time_ms, attempt, event, data

  std::map<std::tuple<std::string, int64_t, int64_t>, Metric> metrics;
  std::map<int64_t, Checkpoint> checkpoints;
  std::map<int64_t, Event> events;
  int64_t offset = 0, seq = 0, skipped = 0, current_step = 0, total_steps = 0, attempt = 0;
  std::vector<int64_t> told;  // seqs in order, without the reader's warnings

  // Of the reader's own warnings only what does not depend on when it looked.
  void put_event(int64_t key, int64_t time, int64_t of_attempt, const std::string& event,
                 const std::string& data) {
    const Json json = Json::parse(data);
    const std::string code = json.contains("code") && json["code"].is_string() ? json["code"] : "";
    if (key == 0) {
      events[key] = {0, 0, code, json["count"].dump()};
    } else if (code == "missing_events") {
      events[key] = {time, of_attempt, code, json["first"].dump() + " to " + json["last"].dump()};
    } else {
      events[key] = {time, of_attempt, event, data};
    }
  }
};

inline void read_metrics(soci::session& session, const std::string& id, RunRows& rows) {
  std::string name;
  int64_t rank = 0, step = 0, time = 0, attempt = 0;
  double value = 0;
  soci::indicator finite = soci::i_null;
  soci::statement all = (session.prepare << "SELECT name, rank, step, value, time_ms, attempt"
                                            " FROM training_metrics WHERE training_id = :id",
                         soci::use(id), soci::into(name), soci::into(rank), soci::into(step),
                         soci::into(value, finite), soci::into(time), soci::into(attempt));
  for (bool more = all.execute(true); more; more = all.fetch()) {
    const auto stored = finite == soci::i_ok ? std::optional<double>(value) : std::optional<double>();
    rows.metrics[{name, rank, step}] = {stored, time, attempt};
  }
}

inline void read_checkpoints(soci::session& session, const std::string& id, RunRows& rows) {
  std::string name;
  int64_t step = 0, bytes = 0, time = 0, removed_at = 0;
  soci::indicator removed = soci::i_null;
  soci::statement all = (session.prepare << "SELECT step, name, bytes, time_ms, removed_at FROM checkpoints"
                                            " WHERE training_id = :id",
                         soci::use(id), soci::into(step), soci::into(name), soci::into(bytes),
                         soci::into(time), soci::into(removed_at, removed));
  for (bool more = all.execute(true); more; more = all.fetch()) {
    const auto at = removed == soci::i_ok ? std::optional<int64_t>(removed_at) : std::optional<int64_t>();
    rows.checkpoints[step] = {name, bytes, time, at};
  }
}

inline RunRows stored_rows(const Database& database, const std::string& id) {
  RunRows rows;
  database.read([&](soci::session& session) {
    rows = {};
    session << "SELECT events_offset, events_seq, events_skipped, current_step, total_steps, attempt"
               " FROM trainings WHERE id = :id",
        soci::use(id), soci::into(rows.offset), soci::into(rows.seq), soci::into(rows.skipped),
        soci::into(rows.current_step), soci::into(rows.total_steps), soci::into(rows.attempt);
    read_metrics(session, id, rows);
    read_checkpoints(session, id, rows);
    int64_t seq = 0, time = 0, attempt = 0;
    std::string event, data;
    soci::statement all = (session.prepare << "SELECT seq, time_ms, attempt, event, data FROM training_events"
                                              " WHERE training_id = :id",
                           soci::use(id), soci::into(seq), soci::into(time), soci::into(attempt),
                           soci::into(event), soci::into(data));
    for (bool more = all.execute(true); more; more = all.fetch()) {
      rows.put_event(seq, time, attempt, event, data);
    }
  });
  return rows;
}

// One event of the reference reading.
inline void apply_plainly(const Json& json, const std::string& line, RunRows& rows) {
  const int64_t seq = json["seq"], attempt = json.value("attempt", int64_t{0});
  const auto time = static_cast<int64_t>(parse_utc_time(json.value("time", "")).value_or(0) * 1e3 + 0.5);
  const std::string event = json["event"];
  rows.attempt = std::max(rows.attempt, attempt);
  if (seq > rows.seq + 1) {
    const Json gap{{"code", "missing_events"}, {"first", rows.seq + 1}, {"last", seq - 1}};
    rows.put_event(rows.seq + 1, time, rows.attempt, "warning", gap.dump());
  }
  rows.seq = seq;
  rows.told.push_back(seq);
  const int64_t step = json.value("step", int64_t{-1});
  rows.current_step = event == "rewind" ? step : std::max(rows.current_step, step);
  if (event == "started") rows.total_steps = json["total_steps"];
  if (event == "rewind") {
    std::erase_if(rows.metrics, [&](const auto& row) { return std::get<2>(row.first) > step; });
    for (auto& [of_step, row] : rows.checkpoints) {
      if (of_step > step && !std::get<3>(row)) std::get<3>(row) = time;
    }
  }
  if (event == "checkpoint") {
    rows.checkpoints[step] = {std::filesystem::path(json["path"].get<std::string>()).filename().string(),
                              json["bytes"], time, std::nullopt};
    if (json.contains("kept")) {
      const std::vector<int64_t> kept = json["kept"];
      for (auto& [of_step, row] : rows.checkpoints) {
        const bool gone = of_step < step && std::find(kept.begin(), kept.end(), of_step) == kept.end();
        if (gone && !std::get<3>(row)) std::get<3>(row) = time;
      }
    }
  }
  if (event != "metrics") return rows.put_event(seq, time, attempt, event, line);
  const auto put = [&](const std::string& name, int64_t rank, const Json& value) {
    const auto number =
        value.is_null() ? std::optional<double>() : std::optional<double>(value.get<double>());
    rows.metrics[{name, rank, step}] = {number, time, attempt};
  };
  for (const auto& [name, value] : json["values"].items()) put(name, -1, value);
  const Json ranks = json.value("ranks", Json::object());
  for (const auto& [name, of_each] : ranks.items()) {
    for (size_t rank = 0; rank < of_each.size(); ++rank) put(name, static_cast<int64_t>(rank), of_each[rank]);
  }
}

// All of `text` in one go.
inline RunRows expected_rows(const std::string& text) {
  RunRows rows;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = text.substr(begin, end - begin);
    rows.offset = static_cast<int64_t>(end) + 1;
    const Json json = Json::parse(line, nullptr, false);
    const bool good = line.size() < kMaxEventLine && json.is_object() && json.contains("seq") &&
                      json["seq"].is_number_integer() && json.contains("event") && json["event"].is_string();
    if (!good) {
      ++rows.skipped;
    } else if (json["seq"] > rows.seq) {
      apply_plainly(json, line, rows);
    }
  }
  if (rows.skipped > 0) {
    rows.put_event(0, 0, 0, "warning", Json{{"code", "skipped_lines"}, {"count", rows.skipped}}.dump());
  }
  return rows;
}

}  // namespace saemill::testing_tools
