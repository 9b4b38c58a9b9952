#include "control/store/run_events.h"

#include <soci/soci.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "common/base/error.h"
#include "control/store/storable_text.h"

namespace saemill {
namespace {

// Rows on their way to training_metrics: many per statement, and none twice, which PostgreSQL refuses.
class MetricRows {
 public:
  MetricRows(soci::session& session, const std::string& training) : session_(session), training_(training) {}

  void add(const RunEvent& event) {
    for (const RunMetric& metric : event.metrics) {
      rows_[{storable(metric.name), metric.rank, event.step.value_or(0)}] = {
          metric.value.value_or(0), metric.value ? soci::i_ok : soci::i_null, event.time_ms, event.attempt};
      if (rows_.size() >= kMostRows) flush();
    }
  }

  void flush() {
    if (rows_.empty()) return;
    soci::statement statement(session_);
    std::string values;
    size_t at = 0;
    for (auto& [key, row] : rows_) {
      const auto& [name, rank, step] = key;
      values += fmt::format("{0}(:t{1}, :n{1}, {2}, {3}, :v{1}, {4}, {5})", at > 0 ? ", " : "", at, rank,
                            step, row.time_ms, row.attempt);
      ++at;
      statement.exchange(soci::use(training_));
      statement.exchange(soci::use(name));
      statement.exchange(soci::use(row.value, row.indicator));
    }
    statement.alloc();
    statement.prepare(
        fmt::format("INSERT INTO training_metrics (training_id, name, rank, step, value, time_ms, attempt)"
                    " VALUES {} ON CONFLICT (training_id, name, rank, step) DO UPDATE SET"
                    " value = excluded.value, time_ms = excluded.time_ms, attempt = excluded.attempt",
                    values),
        soci::details::st_one_time_query);
    statement.define_and_bind();
    statement.execute(true);
    rows_.clear();
  }

 private:
  struct Row {
    double value = 0;
    soci::indicator indicator = soci::i_null;
    int64_t time_ms = 0, attempt = 0;
  };
  static constexpr size_t kMostRows = 50;  // SOCI takes longer over more

  soci::session& session_;
  const std::string& training_;
  std::map<std::tuple<std::string, int64_t, int64_t>, Row> rows_;
};

// Where current_step stands after a batch: as far as anything came, unless a rewind took it back.
struct Progress {
  int64_t current_step = 0;
  int64_t rewound = 0;
  int64_t total_steps = 0;  // 0: not told

  explicit Progress(const std::vector<RunEvent>& events) {
    for (const RunEvent& event : events) {
      if (event.total_steps) total_steps = *event.total_steps;
      if (!event.step) continue;
      const bool rewind = event.event == "rewind";
      current_step = rewind ? *event.step : std::max(current_step, *event.step);
      if (rewind) rewound = 1;
    }
  }
};

// First of all: it locks the row, so a second reader waits here and then finds another offset.
bool advance(soci::session& session, const std::string& training, const RunPosition& before,
             const RunPosition& after, const Progress& progress) {
  soci::statement statement =
      (session.prepare << fmt::format(
           "UPDATE trainings SET events_offset = {}, events_seq = {}, events_skipped = {},"
           " current_step = CASE WHEN {} = 1 OR current_step < {} THEN {} ELSE current_step END,"
           " total_steps = CASE WHEN {} > 0 THEN {} ELSE total_steps END,"
           " attempt = CASE WHEN attempt < {} THEN {} ELSE attempt END"
           " WHERE id = :id AND events_offset = {} AND events_seq = {}",
           after.offset, after.seq, after.skipped, progress.rewound, progress.current_step,
           progress.current_step, progress.total_steps, progress.total_steps, after.attempt, after.attempt,
           before.offset, before.seq),
       soci::use(training));
  statement.execute(true);
  return statement.get_affected_rows() == 1;
}

void insert_event(soci::session& session, const std::string& training, const RunEvent& event) {
  const std::string kind = storable(event.event), data = storable(event.data);
  session << "INSERT INTO training_events (training_id, seq, time_ms, attempt, event, data)"
             " VALUES (:training, :seq, :time, :attempt, :event, :data)"
             " ON CONFLICT (training_id, seq) DO UPDATE SET time_ms = excluded.time_ms,"
             " attempt = excluded.attempt, event = excluded.event, data = excluded.data",
      soci::use(training), soci::use(event.seq), soci::use(event.time_ms), soci::use(event.attempt),
      soci::use(kind), soci::use(data);
}

void insert_checkpoint(soci::session& session, const std::string& training, const RunEvent& event) {
  const std::string name = storable(event.checkpoint);
  const int64_t step = event.step.value_or(0);
  session << "INSERT INTO checkpoints (training_id, step, name, bytes, time_ms, removed_at)"
             " VALUES (:training, :step, :name, :bytes, :time, NULL)"
             " ON CONFLICT (training_id, step) DO UPDATE SET name = excluded.name, bytes = excluded.bytes,"
             " time_ms = excluded.time_ms, removed_at = NULL",
      soci::use(training), soci::use(step), soci::use(name), soci::use(event.bytes), soci::use(event.time_ms);
}

void remove_others(soci::session& session, const std::string& training, const RunEvent& event) {
  const int64_t step = event.step.value_or(0);
  // -1 is nobody's step, and an empty list no SQL.
  session << fmt::format(
      "UPDATE checkpoints SET removed_at = :time WHERE training_id = :training AND step < :step"
      " AND removed_at IS NULL AND step NOT IN (-1{}{})",
      event.kept->empty() ? "" : ", ", fmt::join(*event.kept, ", ")),
      soci::use(event.time_ms), soci::use(training), soci::use(step);
}

void rewind(soci::session& session, const std::string& training, const RunEvent& event) {
  const int64_t step = event.step.value_or(0);
  session << "DELETE FROM training_metrics WHERE training_id = :training AND step > :step",
      soci::use(training), soci::use(step);
  session << "UPDATE checkpoints SET removed_at = :time"
             " WHERE training_id = :training AND step > :step AND removed_at IS NULL",
      soci::use(event.time_ms), soci::use(training), soci::use(step);
  if (!event.chosen) return;
  session << "UPDATE trainings SET from_checkpoint = NULL WHERE id = :training AND from_checkpoint = :step",
      soci::use(training), soci::use(step);
}

}  // namespace

std::optional<RunPosition> RunEvents::position(const std::string& training) const {
  const std::string id = storable(training);
  std::optional<RunPosition> found;
  database_.read([&](soci::session& session) {
    RunPosition row;
    session << "SELECT events_offset, events_seq, events_skipped, attempt FROM trainings WHERE id = :id",
        soci::into(row.offset), soci::into(row.seq), soci::into(row.skipped), soci::into(row.attempt),
        soci::use(id);
    found.reset();
    if (session.got_data()) found = row;
  });
  return found;
}

bool RunEvents::apply(const std::string& training, const RunPosition& before, const RunPosition& after,
                      const std::vector<RunEvent>& events) {
  const std::string id = storable(training);
  const Progress progress(events);
  bool applied = false;
  database_.write([&](soci::session& session) {
    applied = advance(session, id, before, after, progress);
    if (!applied) return;
    MetricRows metrics(session, id);
    for (const RunEvent& event : events) {
      if (event.event == "metrics") {
        metrics.add(event);
        continue;
      }
      if (event.event == "rewind") {
        metrics.flush();
        rewind(session, id, event);
      }
      if (event.event == "checkpoint") {
        insert_checkpoint(session, id, event);
        if (event.kept) remove_others(session, id, event);
      }
      insert_event(session, id, event);
    }
    metrics.flush();
  });
  return applied;
}

}  // namespace saemill
