// A migration that was released is never edited: a new one is appended.
#include "control/store/migrations.h"

#include <soci/soci.h>

#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"

namespace saemill {
namespace {

using Statements = std::vector<std::string>;

// Every integer is a BIGINT: SOCI reads an `integer` as 32 bits.
Statements leases_v1(Dialect dialect) {
  const char* id = dialect == Dialect::sqlite ? "INTEGER PRIMARY KEY AUTOINCREMENT"
                                              : "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
  return {fmt::format("CREATE TABLE leases (id {}, uuid TEXT NOT NULL, job_id TEXT NOT NULL,"
                      " job_type TEXT NOT NULL, server_id TEXT NOT NULL, host TEXT NOT NULL,"
                      " boot_id TEXT NOT NULL, pid BIGINT NOT NULL, start_time BIGINT NOT NULL,"
                      " server_pid BIGINT NOT NULL, server_start_time BIGINT NOT NULL,"
                      " taken_at BIGINT NOT NULL, released_at BIGINT)",
                      id),
          "CREATE UNIQUE INDEX leases_active ON leases (uuid) WHERE released_at IS NULL",
          "CREATE INDEX leases_active_of_job ON leases (job_id) WHERE released_at IS NULL",
          "CREATE INDEX leases_last_used ON leases (uuid, released_at)"};
}

// The names are spelled out, although kHistoryFields has them: that list may grow, this step may not.
Statements history_v1() {
  std::string columns;
  for (const char* field :
       {"utilization", "memory_utilization", "memory_used", "temperature", "power_draw", "energy",
        "fan_speed", "clocks_sm", "clocks_memory", "pcie_tx", "pcie_rx", "nvlink_tx", "nvlink_rx"}) {
    columns += fmt::format(
        " {0}_min DOUBLE PRECISION, {0}_mean DOUBLE PRECISION, {0}_max DOUBLE PRECISION,"
        " {0}_count BIGINT NOT NULL,",
        field);
  }
  return {fmt::format("CREATE TABLE gpu_metrics_history (uuid TEXT NOT NULL, bucket_s BIGINT NOT NULL,"
                      " time BIGINT NOT NULL, job_id TEXT NOT NULL, samples BIGINT NOT NULL,{}"
                      " PRIMARY KEY (uuid, bucket_s, time, job_id))",
                      columns),
          "CREATE INDEX gpu_metrics_history_age ON gpu_metrics_history (bucket_s, time)"};
}

Statements events_v3(Dialect dialect) {
  const char* id = dialect == Dialect::sqlite ? "INTEGER PRIMARY KEY AUTOINCREMENT"
                                              : "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
  return {fmt::format("CREATE TABLE system_events (id {}, time DOUBLE PRECISION NOT NULL,"
                      " severity BIGINT NOT NULL, code TEXT NOT NULL, is_over BIGINT NOT NULL,"
                      " host TEXT NOT NULL, device_uuid TEXT NOT NULL, training_id TEXT NOT NULL,"
                      " message TEXT NOT NULL)",
                      id),
          "CREATE INDEX system_events_age ON system_events (time)",
          "CREATE INDEX system_events_severity ON system_events (severity, id)",
          "CREATE TABLE sessions (digest TEXT PRIMARY KEY, server_id TEXT NOT NULL,"
          " created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL)",
          "CREATE TABLE idempotency_keys (idempotency_key TEXT PRIMARY KEY, request TEXT NOT NULL,"
          " server_id TEXT NOT NULL, created_at BIGINT NOT NULL, status BIGINT,"
          " content_type TEXT NOT NULL, body TEXT NOT NULL)",
          "CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at)"};
}

std::vector<Statements> migrations(Dialect dialect) {
  return {leases_v1(dialect), history_v1(), events_v3(dialect)};
}

// Any number that nobody else uses; "saemill" in ASCII.
constexpr int64_t kLock = 0x7361656d696c6c;

}  // namespace

int64_t schema_version() {
  return static_cast<int64_t>(migrations(Dialect::sqlite).size());
}

void migrate(soci::session& session, Dialect dialect, const std::string& name) {
  // On SQLite the transaction itself excludes every other writer.
  if (dialect == Dialect::postgresql) session << fmt::format("SELECT pg_advisory_xact_lock({})", kLock);
  session
      << "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)";
  int64_t found = 0;
  session << "SELECT COALESCE(MAX(version), 0) FROM schema_version", soci::into(found);
  const auto steps = migrations(dialect);
  const auto newest = static_cast<int64_t>(steps.size());
  if (found > newest) {
    fail(ErrorCode::bad_config,
         "database {} has schema version {}, this program knows up to {}: use the newer saemill", name, found,
         newest);
  }
  for (int64_t version = found + 1; version <= newest; ++version) {
    for (const std::string& statement : steps[static_cast<size_t>(version - 1)]) session << statement;
    const auto now = static_cast<int64_t>(epoch_seconds());
    session << "INSERT INTO schema_version (version, applied_at) VALUES (:version, :now)", soci::use(version),
        soci::use(now);
  }
}

}  // namespace saemill
