#include "control/store/checkpoints.h"

#include <soci/soci.h>

#include "control/store/storable_text.h"

namespace saemill {

std::vector<CheckpointRow> Checkpoints::list(const std::string& training, bool with_removed) const {
  const std::string id = storable(training);
  std::vector<CheckpointRow> found;
  database_.read([&](soci::session& session) {
    found.clear();
    CheckpointRow row;
    int64_t removed_at = 0;
    soci::indicator removed = soci::i_null;
    soci::statement statement =
        (session.prepare << "SELECT step, name, bytes, time_ms, removed_at FROM checkpoints"
                            " WHERE training_id = :training"
                         << (with_removed ? "" : " AND removed_at IS NULL") << " ORDER BY step",
         soci::use(id), soci::into(row.step), soci::into(row.name), soci::into(row.bytes),
         soci::into(row.time_ms), soci::into(removed_at, removed));
    for (bool more = statement.execute(true); more; more = statement.fetch()) {
      row.removed_at.reset();
      if (removed == soci::i_ok) row.removed_at = removed_at;
      found.push_back(row);
    }
  });
  return found;
}

bool Checkpoints::remove(const std::string& training, int64_t step, int64_t removed_at) {
  const std::string id = storable(training);
  int64_t changed = 0;
  database_.write([&](soci::session& session) {
    soci::statement statement =
        (session.prepare << "UPDATE checkpoints SET removed_at = :now"
                            " WHERE training_id = :training AND step = :step AND removed_at IS NULL",
         soci::use(removed_at), soci::use(id), soci::use(step));
    statement.execute(true);
    changed = statement.get_affected_rows();
  });
  return changed == 1;
}

}  // namespace saemill
