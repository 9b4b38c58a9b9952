#include "control/store/training_events.h"

#include <soci/soci.h>

#include "common/base/error.h"
#include "control/store/storable_text.h"

namespace saemill {
namespace {

void check(int64_t limit) {
  if (limit < 1 || limit > TrainingEvents::kMostPerPage) {
    fail(ErrorCode::usage, "a page of {} events; accepted: 1 to {}", limit, TrainingEvents::kMostPerPage);
  }
}

std::vector<TrainingEvent> select(soci::session& session, const std::string& training,
                                  const std::string& rest) {
  TrainingEvent row;
  soci::statement statement =
      (session.prepare << "SELECT seq, time_ms, attempt, event, data FROM training_events"
                          " WHERE training_id = :training "
                       << rest,
       soci::use(training), soci::into(row.seq), soci::into(row.time_ms), soci::into(row.attempt),
       soci::into(row.event), soci::into(row.data));
  std::vector<TrainingEvent> found;
  for (bool more = statement.execute(true); more; more = statement.fetch()) found.push_back(row);
  return found;
}

}  // namespace

std::vector<TrainingEvent> TrainingEvents::since(const std::string& training, int64_t seq,
                                                 int64_t limit) const {
  check(limit);
  std::vector<TrainingEvent> found;
  database_.read([&](soci::session& session) {
    found =
        select(session, storable(training), fmt::format("AND seq > {} ORDER BY seq LIMIT {}", seq, limit));
  });
  return found;
}

TrainingEventPage TrainingEvents::newest(const std::string& training, int64_t page, int64_t limit) const {
  check(limit);
  if (page < 1) fail(ErrorCode::usage, "there is no page {} of events; the first is 1", page);
  const std::string id = storable(training);
  TrainingEventPage found;
  database_.read([&](soci::session& session) {
    found = {};
    session << "SELECT COUNT(*) FROM training_events WHERE training_id = :training", soci::use(id),
        soci::into(found.total);
    // Also keeps the offset from overflowing.
    if (page - 1 > found.total / limit) return;
    found.events =
        select(session, id, fmt::format("ORDER BY seq DESC LIMIT {} OFFSET {}", limit, (page - 1) * limit));
  });
  return found;
}

}  // namespace saemill
