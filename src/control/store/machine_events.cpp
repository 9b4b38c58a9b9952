#include "control/store/machine_events.h"

#include <soci/soci.h>

#include <algorithm>
#include <array>

#include "common/base/error.h"
#include "control/store/machine_event_sql.h"
#include "control/store/storable_text.h"

namespace saemill {
namespace {

constexpr std::array<const char*, 3> kSeverities = {"info", "warning", "error"};
constexpr int64_t kMostPerPage = 500;

void forget_old(soci::session& session, double newest) {
  const double oldest = newest - static_cast<double>(MachineEvents::kDaysKept) * 86400;
  session << "DELETE FROM system_events WHERE time < :oldest", soci::use(oldest);
  const int64_t most = MachineEvents::kMostKept;
  session << "DELETE FROM system_events"
             " WHERE id <= (SELECT id FROM system_events ORDER BY id DESC LIMIT 1 OFFSET :most)",
      soci::use(most);
}

// Binds :since, :severity, :device, :device_, :training, :training_.
constexpr const char* kMatching =
    " FROM system_events WHERE id > :since AND severity >= :severity"
    " AND (:device = '' OR device_uuid = :device_) AND (:training = '' OR training_id = :training_)";

int64_t count(soci::session& session, const EventQuery& query, int64_t at_least) {
  int64_t total = 0;
  session << std::string("SELECT COUNT(*)") + kMatching, soci::into(total), soci::use(query.since),
      soci::use(at_least), soci::use(query.device_uuid), soci::use(query.device_uuid),
      soci::use(query.training_id), soci::use(query.training_id);
  return total;
}

std::vector<MachineEvent> select(soci::session& session, const EventQuery& query, int64_t at_least) {
  MachineEvent row;
  int64_t severity = 0, over = 0;
  const int64_t offset = (query.page - 1) * query.limit;
  soci::statement statement =
      (session.prepare
           << std::string(
                  "SELECT id, time, severity, code, is_over, host, device_uuid, training_id, message") +
                  kMatching + " ORDER BY id DESC LIMIT :limit OFFSET :offset",
       soci::into(row.id), soci::into(row.time), soci::into(severity), soci::into(row.code), soci::into(over),
       soci::into(row.host), soci::into(row.device_uuid), soci::into(row.training_id),
       soci::into(row.message), soci::use(query.since), soci::use(at_least), soci::use(query.device_uuid),
       soci::use(query.device_uuid), soci::use(query.training_id), soci::use(query.training_id),
       soci::use(query.limit), soci::use(offset));
  std::vector<MachineEvent> found;
  for (bool more = statement.execute(true); more; more = statement.fetch()) {
    row.severity = static_cast<Severity>(severity);
    row.over = over != 0;
    found.push_back(row);
  }
  return found;
}

}  // namespace

int64_t insert_machine_event(soci::session& session, const MachineEvent& event) {
  const auto severity = static_cast<int64_t>(event.severity);
  const int64_t over = event.over ? 1 : 0;
  const std::string code = storable(event.code), host = storable(event.host),
                    device = storable(event.device_uuid), training = storable(event.training_id),
                    message = storable(event.message);
  int64_t id = 0;
  session
      << "INSERT INTO system_events (time, severity, code, is_over, host, device_uuid, training_id, message)"
         " VALUES (:time, :severity, :code, :over, :host, :device, :training, :message) RETURNING id",
      soci::use(event.time), soci::use(severity), soci::use(code), soci::use(over), soci::use(host),
      soci::use(device), soci::use(training), soci::use(message), soci::into(id);
  return id;
}

void lock_machine_events(soci::session& session, Dialect dialect) {
  // PostgreSQL gives ids before the commit: without the lock a smaller one could become visible later.
  if (dialect == Dialect::postgresql) session << "LOCK TABLE system_events IN SHARE ROW EXCLUSIVE MODE";
}

const char* to_string(Severity severity) {
  return kSeverities[static_cast<size_t>(severity)];
}

std::optional<Severity> severity_of(const std::string& word) {
  const auto at = std::find(kSeverities.begin(), kSeverities.end(), word);
  if (at == kSeverities.end()) return std::nullopt;
  return static_cast<Severity>(at - kSeverities.begin());
}

void MachineEvents::add(std::vector<MachineEvent>& events) {
  if (events.empty()) return;
  const double newest = std::max_element(events.begin(), events.end(), [](const auto& a, const auto& b) {
                          return a.time < b.time;
                        })->time;
  std::vector<int64_t> ids;
  database_.write([&](soci::session& session) {
    ids.clear();
    lock_machine_events(session, database_.dialect());
    for (const MachineEvent& event : events) ids.push_back(insert_machine_event(session, event));
    forget_old(session, newest);
  });
  for (size_t i = 0; i < events.size(); ++i) events[i].id = ids[i];
}

EventPage MachineEvents::query(const EventQuery& query) const {
  if (query.page < 1) fail(ErrorCode::usage, "there is no page {} of events; the first is 1", query.page);
  if (query.limit < 1 || query.limit > kMostPerPage) {
    fail(ErrorCode::usage, "a page of {} events; accepted: 1 to {}", query.limit, kMostPerPage);
  }
  const auto at_least = static_cast<int64_t>(query.at_least.value_or(Severity::info));
  EventPage page;
  database_.read([&](soci::session& session) {
    page = {};
    page.total = count(session, query, at_least);
    // Also keeps the offset from overflowing.
    if (query.page - 1 <= page.total / query.limit) page.events = select(session, query, at_least);
  });
  return page;
}

}  // namespace saemill
