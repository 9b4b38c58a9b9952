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

// Metrics are millions of rows that are read by key: on SQLite they lie in the key's order themselves.
Statements trainings_v4(Dialect dialect) {
  const bool sqlite = dialect == Dialect::sqlite;
  const char* id =
      sqlite ? "INTEGER PRIMARY KEY AUTOINCREMENT" : "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
  return {
      fmt::format("CREATE TABLE trainings (arrival {}, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
                  " group_id TEXT, status TEXT NOT NULL, reason_code TEXT, reason_message TEXT,"
                  " expected_start BIGINT, asked_gpu_ids TEXT, device_count BIGINT NOT NULL,"
                  " device_uuids TEXT NOT NULL, gpu_ids TEXT NOT NULL, distributed BIGINT NOT NULL,"
                  " world_size BIGINT NOT NULL, current_step BIGINT NOT NULL, total_steps BIGINT NOT NULL,"
                  " priority BIGINT NOT NULL, held BIGINT NOT NULL, after TEXT NOT NULL, time_limit_s BIGINT,"
                  " max_restarts BIGINT NOT NULL, restarts BIGINT NOT NULL, config TEXT NOT NULL,"
                  " attempt BIGINT NOT NULL, finalized_from_step BIGINT, created_at BIGINT NOT NULL,"
                  " started_at BIGINT, completed_at BIGINT, error TEXT, server_id TEXT NOT NULL,"
                  " host TEXT NOT NULL, launcher_pid BIGINT NOT NULL, launcher_start_time BIGINT NOT NULL,"
                  " boot_id TEXT NOT NULL, events_offset BIGINT NOT NULL, events_seq BIGINT NOT NULL,"
                  " events_skipped BIGINT NOT NULL, resumed_from TEXT)",
                  id),
      "CREATE INDEX trainings_status ON trainings (status, arrival)",
      "CREATE INDEX trainings_group ON trainings (group_id, arrival)",
      fmt::format("CREATE TABLE training_metrics (training_id TEXT NOT NULL, name TEXT NOT NULL,"
                  " rank BIGINT NOT NULL, step BIGINT NOT NULL, value DOUBLE PRECISION,"
                  " time_ms BIGINT NOT NULL, attempt BIGINT NOT NULL,"
                  " PRIMARY KEY (training_id, name, rank, step)){}",
                  sqlite ? " WITHOUT ROWID" : ""),
      "CREATE TABLE checkpoints (training_id TEXT NOT NULL, step BIGINT NOT NULL, name TEXT NOT NULL,"
      " bytes BIGINT NOT NULL, time_ms BIGINT NOT NULL, removed_at BIGINT, PRIMARY KEY (training_id, step))",
      "CREATE TABLE training_events (training_id TEXT NOT NULL, seq BIGINT NOT NULL, time_ms BIGINT NOT NULL,"
      " attempt BIGINT NOT NULL, event TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (training_id, seq))"};
}

Statements from_checkpoint_v5() {
  return {"ALTER TABLE trainings ADD COLUMN from_checkpoint BIGINT"};
}

std::vector<Statements> migrations(Dialect dialect) {
  return {leases_v1(dialect), history_v1(), events_v3(dialect), trainings_v4(dialect), from_checkpoint_v5()};
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
