#include "control/store/device_history.h"

#include <soci/soci.h>

#include <cmath>
#include <iterator>
#include <map>
#include <tuple>

#include "common/base/error.h"
#include "control/store/history_row.h"
#include "control/store/history_sql.h"

namespace saemill {
namespace {

constexpr size_t kFields = kHistoryFields.size();
constexpr size_t kRowsAtOnce = 500;  // per statement: SOCI holds 2 KB for each

constexpr int64_t kHour = 3600;
constexpr int64_t kKept = 30 * 24 * kHour;
struct Thinning {
  int64_t from_s, to_s, age;
};
constexpr Thinning kThinnings[] = {{1, 10, kHour}, {10, 60, 24 * kHour}};

// Ordered, so that two servers insert in the same order and neither waits for the other in a circle.
using Key = std::tuple<std::string, int64_t, std::string>;  // uuid, second, job
struct Row {
  int64_t samples = 0;
  std::array<FieldSummary, kFields> fields;
};
using Rows = std::map<Key, Row>;

int64_t floor_to(int64_t value, int64_t unit) {
  return value - ((value % unit) + unit) % unit;
}

Rows rows_of(const std::vector<HistorySample>& samples) {
  Rows rows;
  for (const HistorySample& sample : samples) {
    Row& row = rows[{sample.uuid, floor_to(sample.time_ms, 1000) / 1000, sample.job_id}];
    ++row.samples;
    for (size_t i = 0; i < kFields; ++i) {
      const auto& value = sample.values[i];
      if (value && std::isfinite(*value)) row.fields[i].merge({*value, *value, *value, 1});
    }
  }
  return rows;
}

// The rows as columns, which is how SOCI inserts many at once.
struct Columns {
  struct Field {
    std::vector<double> min, mean, max;
    std::vector<long long> count;
    std::vector<soci::indicator> measured;
  };
  std::vector<std::string> uuid, job;
  std::vector<long long> time, samples;
  std::array<Field, kFields> fields;

  void push_back(const Key& key, const Row& row) {
    uuid.push_back(std::get<0>(key));
    time.push_back(std::get<1>(key));
    job.push_back(std::get<2>(key));
    samples.push_back(row.samples);
    for (size_t i = 0; i < kFields; ++i) {
      const FieldSummary& summary = row.fields[i];
      Field& field = fields[i];
      field.min.push_back(summary.min);
      field.mean.push_back(summary.mean);
      field.max.push_back(summary.max);
      field.count.push_back(summary.count);
      field.measured.push_back(summary.count > 0 ? soci::i_ok : soci::i_null);
    }
  }
};

void insert(soci::session& session, const std::string& sql, Columns& columns) {
  soci::statement statement(session);
  statement.exchange(soci::use(columns.uuid));
  statement.exchange(soci::use(columns.time));
  statement.exchange(soci::use(columns.job));
  statement.exchange(soci::use(columns.samples));
  for (Columns::Field& field : columns.fields) {
    statement.exchange(soci::use(field.min, field.measured));
    statement.exchange(soci::use(field.mean, field.measured));
    statement.exchange(soci::use(field.max, field.measured));
    statement.exchange(soci::use(field.count));
  }
  statement.alloc();
  statement.prepare(sql);
  statement.define_and_bind();
  statement.execute(true);
}

std::optional<int64_t> oldest_before(const Database& database, int64_t bucket_s, int64_t end) {
  int64_t oldest = 0;
  soci::indicator found = soci::i_null;
  database.read([&](soci::session& session) {
    session << "SELECT MIN(time) FROM gpu_metrics_history WHERE bucket_s = :bucket AND time < :end",
        soci::into(oldest, found), soci::use(bucket_s), soci::use(end);
  });
  if (found == soci::i_null) return std::nullopt;
  return oldest;
}

void erase(soci::session& session, int64_t bucket_s, int64_t begin, int64_t end) {
  session << "DELETE FROM gpu_metrics_history WHERE bucket_s = :bucket AND time >= :begin AND time < :end",
      soci::use(bucket_s), soci::use(begin), soci::use(end);
}

void merge_into_coarser(Database& database, const Thinning& step, int64_t begin, int64_t end) {
  const std::string sql = thin_statement(step.from_s, step.to_s, begin, end);
  database.write([&](soci::session& session) {
    // Both statements see the same rows: what is added between them stays, and is merged next time. Of two
    // servers that thin at once, one fails to serialize, and finds nothing left to do when it is run again.
    if (database.dialect() == Dialect::postgresql)
      session << "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    session << sql;
    erase(session, step.from_s, begin, end);
  });
}

}  // namespace

void DeviceHistory::add(const std::vector<HistorySample>& samples) {
  const Rows rows = rows_of(samples);
  if (rows.empty()) return;
  static const std::string sql = add_statement();
  database_.write([&](soci::session& session) {
    // The last second may be lost with the machine; waiting for its disk every second costs more.
    if (database_.dialect() == Dialect::postgresql) session << "SET LOCAL synchronous_commit = off";
    for (auto row = rows.begin(); row != rows.end();) {
      Columns columns;
      for (size_t i = 0; i < kRowsAtOnce && row != rows.end(); ++i, ++row) {
        columns.push_back(row->first, row->second);
      }
      insert(session, sql, columns);
    }
  });
}

void DeviceHistory::thin(int64_t now) {
  const int64_t forgotten = floor_to(now - kKept, 60);
  for (const int64_t bucket_s : {1, 10, 60}) {
    while (const auto oldest = oldest_before(database_, bucket_s, forgotten)) {
      database_.write([&](soci::session& session) {
        erase(session, bucket_s, *oldest, std::min(*oldest + kHour, forgotten));
      });
    }
  }
  for (const Thinning& step : kThinnings) {
    // Whole buckets of the coarser kind only.
    const int64_t limit = floor_to(now - step.age, step.to_s);
    while (const auto oldest = oldest_before(database_, step.from_s, limit)) {
      const int64_t begin = floor_to(*oldest, step.to_s);
      merge_into_coarser(database_, step, begin, std::min(begin + kHour, limit));
    }
  }
}

}  // namespace saemill
