#include "control/store/trainings.h"

#include <soci/soci.h>

#include <algorithm>
#include <array>

#include "common/base/error.h"
#include "control/store/machine_event_sql.h"
#include "control/store/sql_cells.h"

namespace saemill {
namespace {

constexpr std::array<const char*, 9> kStatus = {"queued",     "starting",  "running", "pausing",  "paused",
                                                "finalizing", "completed", "failed",  "cancelled"};
constexpr const char* kFinal = "('completed', 'failed', 'cancelled')";
constexpr const char* kHoldsDevices = "('starting', 'running', 'pausing', 'finalizing')";

// Calls visit(name, value) for the columns that an update may set. Of a row or of a change.
template <typename Row, typename Visit>
void each_changeable(Row& row, const Visit& visit) {
  visit("status", row.status);
  visit("name", row.name);
  visit("reason_code", row.reason_code);
  visit("reason_message", row.reason_message);
  visit("expected_start", row.expected_start);
  visit("asked_gpu_ids", row.asked_gpu_ids);
  visit("device_count", row.device_count);
  visit("device_uuids", row.device_uuids);
  visit("gpu_ids", row.gpu_ids);
  visit("distributed", row.distributed);
  visit("world_size", row.world_size);
  visit("current_step", row.current_step);
  visit("total_steps", row.total_steps);
  visit("priority", row.priority);
  visit("held", row.held);
  visit("after", row.after);
  visit("time_limit_s", row.time_limit_s);
  visit("max_restarts", row.max_restarts);
  visit("restarts", row.restarts);
  visit("config", row.config);
  visit("attempt", row.attempt);
  visit("finalized_from_step", row.finalized_from_step);
  visit("started_at", row.started_at);
  visit("completed_at", row.completed_at);
  visit("error", row.error);
  visit("server_id", row.server_id);
  visit("host", row.host);
  visit("launcher_pid", row.launcher_pid);
  visit("launcher_start_time", row.launcher_start_time);
  visit("boot_id", row.boot_id);
  visit("resumed_from", row.resumed_from);
  visit("from_checkpoint", row.from_checkpoint);
}

// All but arrival.
template <typename Row, typename Visit>
void each_column(Row& row, const Visit& visit) {
  visit("id", row.id);
  visit("group_id", row.group_id);
  visit("created_at", row.created_at);
  visit("events_offset", row.events_offset);
  visit("events_seq", row.events_seq);
  visit("events_skipped", row.events_skipped);
  each_changeable(row, visit);
}

// A status is a word in SQL; everything else is itself.
template <typename T>
const T& as_sql(const T& value) {
  return value;
}
std::string as_sql(TrainingStatus status) {
  return to_string(status);
}

template <typename T>
void take(SqlCells& cells, T& value) {
  cells.take(value);
}
void take(SqlCells& cells, TrainingStatus& status) {
  std::string word;
  cells.take(word);
  const auto known = training_status_of(word);
  if (!known) fail(ErrorCode::bad_data, "unknown status \"{}\" of a training in the database", word);
  status = *known;
}

void insert_row(soci::session& session, const TrainingRow& row, int64_t& arrival) {
  std::string columns, values;
  SqlCells cells;
  soci::statement statement(session);
  each_column(row, [&](const char* name, const auto& value) {
    columns += fmt::format("{}{}", columns.empty() ? "" : ", ", name);
    values += fmt::format("{}:{}", values.empty() ? "" : ", ", name);
    cells.use(statement, as_sql(value));
  });
  statement.exchange(soci::into(arrival));
  execute(statement,
          fmt::format("INSERT INTO trainings ({}) VALUES ({}) RETURNING arrival", columns, values));
}

// `rest` from WHERE on, whose placeholders stand for `values` in order.
std::vector<TrainingRow> select(soci::session& session, const std::string& rest,
                                const std::vector<std::string>& values) {
  const TrainingRow kinds;
  SqlCells cells;
  std::string columns = "arrival";
  soci::statement statement(session);
  cells.into(statement, kinds.arrival);
  each_column(kinds, [&](const char* name, const auto& value) {
    columns += fmt::format(", {}", name);
    cells.into(statement, as_sql(value));
  });
  for (const std::string& value : values) cells.use(statement, value);
  std::vector<TrainingRow> found;
  const std::string sql = fmt::format("SELECT {} FROM trainings {}", columns, rest);
  for (bool more = execute(statement, sql); more; more = statement.fetch()) {
    cells.rewind();
    TrainingRow& row = found.emplace_back();
    take(cells, row.arrival);
    each_column(row, [&](const char*, auto& value) { take(cells, value); });
  }
  return found;
}

std::string condition_of(const TrainingQuery& query) {
  std::string words;
  for (const TrainingStatus status : query.status) {
    words += fmt::format("{}'{}'", words.empty() ? "" : ", ", to_string(status));
  }
  std::string condition = "WHERE 1 = 1";
  if (!words.empty()) condition += fmt::format(" AND status IN ({})", words);
  if (query.group_id) condition += " AND group_id = :group";
  return condition;
}

}  // namespace

const char* to_string(TrainingStatus status) {
  return kStatus[static_cast<size_t>(status)];
}

std::optional<TrainingStatus> training_status_of(const std::string& word) {
  const auto at = std::find(kStatus.begin(), kStatus.end(), word);
  if (at == kStatus.end()) return std::nullopt;
  return static_cast<TrainingStatus>(at - kStatus.begin());
}

bool holds_devices(TrainingStatus status) {
  return status == TrainingStatus::starting || status == TrainingStatus::running ||
         status == TrainingStatus::pausing || status == TrainingStatus::finalizing;
}

bool is_final(TrainingStatus status) {
  return status == TrainingStatus::completed || status == TrainingStatus::failed ||
         status == TrainingStatus::cancelled;
}

void Trainings::insert(std::vector<TrainingRow>& rows, std::vector<MachineEvent>* events) {
  std::vector<int64_t> arrivals(rows.size()), ids;
  database_.write([&](soci::session& session) {
    ids.clear();
    if (events != nullptr) lock_machine_events(session, database_.dialect());
    for (size_t i = 0; i < rows.size(); ++i) insert_row(session, rows[i], arrivals[i]);
    if (events == nullptr) return;
    for (const MachineEvent& event : *events) ids.push_back(insert_machine_event(session, event));
  });
  for (size_t i = 0; i < rows.size(); ++i) rows[i].arrival = arrivals[i];
  for (size_t i = 0; i < ids.size(); ++i) (*events)[i].id = ids[i];
}

std::optional<TrainingRow> Trainings::find(const std::string& id) const {
  std::vector<TrainingRow> found;
  database_.read([&](soci::session& session) { found = select(session, "WHERE id = :id", {id}); });
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

TrainingPage Trainings::list(const TrainingQuery& query) const {
  if (query.page < 1) fail(ErrorCode::usage, "there is no page {} of trainings; the first is 1", query.page);
  if (query.limit < 1 || query.limit > kMostPerPage) {
    fail(ErrorCode::usage, "a page of {} trainings; accepted: 1 to {}", query.limit, kMostPerPage);
  }
  const std::string condition = condition_of(query);
  std::vector<std::string> values;
  if (query.group_id) values.push_back(*query.group_id);
  TrainingPage page;
  database_.read([&](soci::session& session) {
    page = {};
    SqlCells cells;
    soci::statement count(session);
    count.exchange(soci::into(page.total));
    for (const std::string& value : values) cells.use(count, value);
    execute(count, "SELECT COUNT(*) FROM trainings " + condition);
    // Also keeps the offset from overflowing.
    if (query.page - 1 > page.total / query.limit) return;
    page.trainings = select(session,
                            fmt::format("{} ORDER BY arrival DESC LIMIT {} OFFSET {}", condition, query.limit,
                                        (query.page - 1) * query.limit),
                            values);
  });
  return page;
}

std::vector<TrainingRow> Trainings::active(const std::string& server_id) const {
  std::vector<TrainingRow> found;
  database_.read([&](soci::session& session) {
    found = select(session,
                   fmt::format("WHERE (status IN {} OR launcher_pid <> 0) AND server_id = :server"
                               " ORDER BY arrival",
                               kHoldsDevices),
                   {server_id});
  });
  return found;
}

std::vector<TrainingRow> Trainings::queued(const std::string& server_id) const {
  std::vector<TrainingRow> found;
  database_.read([&](soci::session& session) {
    found = select(session, "WHERE status = 'queued' AND server_id = :server ORDER BY arrival", {server_id});
  });
  return found;
}

std::vector<TrainingRow> Trainings::ended_before(const std::string& server_id, int64_t time_ms) const {
  std::vector<TrainingRow> found;
  database_.read([&](soci::session& session) {
    found = select(session,
                   fmt::format("WHERE status IN {} AND completed_at < {} AND server_id = :server"
                               " ORDER BY completed_at LIMIT {}",
                               kFinal, time_ms, kMostPerPage),
                   {server_id});
  });
  return found;
}

std::vector<TrainingRow> Trainings::completed_before(const std::string& server_id, int64_t time_ms) const {
  std::vector<TrainingRow> found;
  database_.read([&](soci::session& session) {
    found = select(session,
                   fmt::format("WHERE status = 'completed' AND completed_at < {} AND server_id = :server"
                               " AND EXISTS (SELECT 1 FROM checkpoints WHERE training_id = trainings.id"
                               " AND removed_at IS NULL) ORDER BY completed_at LIMIT {}",
                               time_ms, kMostPerPage),
                   {server_id});
  });
  return found;
}

std::optional<TrainingRow> Trainings::update(const std::string& id, TrainingStatus expected,
                                             const TrainingChange& change, MachineEvent* event) {
  std::vector<TrainingRow> changed;
  int64_t event_id = 0;
  database_.write([&](soci::session& session) {
    changed.clear();
    // The lock first: who inserts events alone takes no other after it.
    if (event != nullptr) lock_machine_events(session, database_.dialect());
    std::string columns;
    SqlCells cells;
    soci::statement statement(session);
    each_changeable(change, [&](const char* name, const auto& value) {
      if (!value) return;
      columns += fmt::format("{}{} = :{}", columns.empty() ? "" : ", ", name, name);
      cells.use(statement, as_sql(*value));
    });
    ensure(!columns.empty(), "an update of a training that changes nothing");
    cells.use(statement, id);
    execute(statement, fmt::format("UPDATE trainings SET {} WHERE id = :id AND status = '{}'", columns,
                                   to_string(expected)));
    if (statement.get_affected_rows() == 0) return;
    changed = select(session, "WHERE id = :id", {id});
    if (event != nullptr) event_id = insert_machine_event(session, *event);
  });
  if (changed.empty()) return std::nullopt;
  if (event != nullptr) event->id = event_id;
  return std::move(changed.front());
}

bool Trainings::erase(const std::string& id) {
  bool erased = false;
  database_.write([&](soci::session& session) {
    const std::string key = storable(id);
    // This row first: whoever brings in events of this training holds it until they are committed.
    soci::statement statement =
        (session.prepare << fmt::format("DELETE FROM trainings WHERE id = :id AND launcher_pid = 0"
                                        " AND status NOT IN {}",
                                        kHoldsDevices),
         soci::use(key));
    statement.execute(true);
    erased = statement.get_affected_rows() == 1;
    if (!erased) return;
    for (const char* table : {"training_metrics", "checkpoints", "training_events"}) {
      session << fmt::format("DELETE FROM {} WHERE training_id = :id", table), soci::use(key);
    }
  });
  return erased;
}

}  // namespace saemill
