#include "control/store/measured_runs.h"

#include <fmt/format.h>
#include <soci/soci.h>

#include <array>

#include "control/store/sql_cells.h"
#include "control/store/training_metrics.h"

namespace saemill {
namespace {

// Of one metric, the last logged step first; found by their place in the primary key.
std::string steps(const char* column, const char* name) {
  return fmt::format(
      "SELECT m.{} FROM training_metrics m WHERE m.training_id = t.id AND m.name = '{}' AND m.rank = {}"
      " ORDER BY m.step DESC",
      column, name, kAllRanks);
}

// The upper of the two in the middle; NULL: fewer were finite.
std::string median(const char* name) {
  return fmt::format(
      "(SELECT value FROM ({} LIMIT {}) AS last_{} WHERE value IS NOT NULL ORDER BY value LIMIT 1 OFFSET {})",
      steps("value", name), MeasuredRuns::kLogged, name, MeasuredRuns::kLogged / 2);
}

}  // namespace

std::vector<MeasuredRun> MeasuredRuns::newest(const std::string& server_id) const {
  // Later steps are of later attempts, so the first of the last tells whether all are of the newest.
  const std::string sql = fmt::format(
      "SELECT t.id, t.config, t.device_uuids, {}, {}, {} FROM trainings t"
      " WHERE t.server_id = :server AND t.status IN ('running', 'completed')"
      " AND t.attempt = ({} LIMIT 1 OFFSET {}) ORDER BY t.arrival DESC LIMIT {}",
      median("step_ms"), median("data_wait_ms"), median("comm_exposed_ms"), steps("attempt", "step_ms"),
      kLogged - 1, kMost);
  std::vector<MeasuredRun> found;
  SqlCells cells;
  database_.read([&](soci::session& session) {
    found.clear();
    soci::statement statement(session);
    cells.use(statement, server_id);
    MeasuredRun row;
    for (auto* text : {&row.training, &row.config, &row.device_uuids}) statement.exchange(soci::into(*text));
    std::array<double, 3> values{};
    std::array<soci::indicator, 3> known{};
    for (size_t i = 0; i < values.size(); ++i) statement.exchange(soci::into(values[i], known[i]));
    for (bool more = execute(statement, sql); more; more = statement.fetch()) {
      const std::array columns = {&row.step_ms, &row.data_wait_ms, &row.comm_exposed_ms};
      for (size_t i = 0; i < values.size(); ++i) {
        columns[i]->reset();
        if (known[i] == soci::i_ok) *columns[i] = values[i];
      }
      found.push_back(row);
    }
  });
  return found;
}

}  // namespace saemill
