#include "control/store/history_sql.h"

#include <fmt/format.h>

#include "control/store/device_history.h"

namespace saemill {
namespace {

constexpr std::array<const char*, 4> kParts = {"min", "mean", "max", "count"};

std::string columns() {
  std::string list = "uuid, bucket_s, time, job_id, samples";
  for (const char* field : kHistoryFields) {
    for (const char* part : kParts) list += fmt::format(", {}_{}", field, part);
  }
  return list;
}

// Of one field over a group of rows. A sum of BIGINT is a NUMERIC for PostgreSQL, hence the casts.
std::string aggregates(std::string_view field) {
  return fmt::format(
      ", MIN({0}_min), SUM({0}_mean * {0}_count) / NULLIF(CAST(SUM({0}_count) AS DOUBLE PRECISION), 0),"
      " MAX({0}_max), CAST(SUM({0}_count) AS BIGINT)",
      field);
}

// The row that is there (h) and the one that comes (excluded), as one. NULL: not measured.
std::string merge() {
  std::string sql =
      " ON CONFLICT (uuid, bucket_s, time, job_id) DO UPDATE SET samples = h.samples + excluded.samples";
  for (const char* field : kHistoryFields) {
    for (const auto& [part, better] : {std::pair{"min", '<'}, {"max", '>'}}) {
      sql += fmt::format(
          ", {0}_{1} = CASE WHEN h.{0}_{1} IS NULL OR excluded.{0}_{1} {2} h.{0}_{1}"
          " THEN excluded.{0}_{1} ELSE h.{0}_{1} END",
          field, part, better);
    }
    sql += fmt::format(
        ", {0}_mean = CASE WHEN h.{0}_count = 0 THEN excluded.{0}_mean"
        " WHEN excluded.{0}_count = 0 THEN h.{0}_mean"
        " ELSE (h.{0}_mean * h.{0}_count + excluded.{0}_mean * excluded.{0}_count)"
        " / (h.{0}_count + excluded.{0}_count) END"
        ", {0}_count = h.{0}_count + excluded.{0}_count",
        field);
  }
  return sql;
}

std::string start_of_bucket(int64_t bucket_s) {
  return bucket_s == 1 ? "time" : fmt::format("time / {0} * {0}", bucket_s);
}

}  // namespace

std::string add_statement() {
  std::string values = ":uuid, 1, :time, :job, :samples";
  for (const char* field : kHistoryFields) {
    for (const char* part : kParts) values += fmt::format(", :{}_{}", field, part);
  }
  return fmt::format("INSERT INTO gpu_metrics_history AS h ({}) VALUES ({}){}", columns(), values, merge());
}

std::string thin_statement(int64_t from_s, int64_t to_s, int64_t begin, int64_t end) {
  std::string values;
  for (const char* field : kHistoryFields) values += aggregates(field);
  return fmt::format(
      "INSERT INTO gpu_metrics_history AS h ({0}) SELECT uuid, {1}, {2}, job_id, CAST(SUM(samples) AS "
      "BIGINT){3}"
      " FROM gpu_metrics_history WHERE bucket_s = {4} AND time >= {5} AND time < {6}"
      " GROUP BY uuid, {2}, job_id{7}",
      columns(), to_s, start_of_bucket(to_s), values, from_s, begin, end, merge());
}

std::string query_statement(std::span<const std::string> fields, int64_t bucket_s,
                            std::string_view condition) {
  std::string values;
  for (const std::string& field : fields) values += aggregates(field);
  return fmt::format(
      "SELECT {0}, job_id, CAST(SUM(samples) AS BIGINT){1} FROM gpu_metrics_history WHERE {2}"
      " GROUP BY {0}, job_id ORDER BY 1",
      start_of_bucket(bucket_s), values, condition);
}

}  // namespace saemill
