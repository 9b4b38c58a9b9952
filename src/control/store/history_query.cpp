#include <soci/soci.h>

#include <algorithm>
#include <array>
#include <limits>

#include "common/base/error.h"
#include "control/store/device_history.h"
#include "control/store/history_row.h"
#include "control/store/history_sql.h"

namespace saemill {
namespace {

// Widths that people read easily; each divides, or is divided by, the widths of stored rows.
constexpr std::array<int64_t, 18> kWidths = {1,   2,   5,    10,   20,   30,    60,    120,   300,
                                             600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400};
constexpr int64_t kEndOfTime = int64_t{1} << 40;  // keeps sums of times from overflowing

int64_t buckets_between(int64_t from, int64_t to, int64_t width) {
  return (to - 1) / width - from / width + 1;
}

int64_t choose_width(int64_t from, int64_t to, int64_t buckets, int64_t coarsest) {
  for (const int64_t width : kWidths) {
    if (width % coarsest == 0 && buckets_between(from, to, width) <= buckets) return width;
  }
  int64_t width = kWidths.back();
  while (buckets_between(from, to, width) > buckets) width *= 2;
  return width;
}

std::vector<std::string> checked_fields(const HistoryQuery& query) {
  std::vector<std::string> known(kHistoryFields.begin(), kHistoryFields.end());
  if (query.fields.empty()) return known;
  for (const std::string& field : query.fields) {
    if (std::find(known.begin(), known.end(), field) == known.end()) {
      fail(ErrorCode::usage, "unknown field \"{}\" of the device history; there are: {}", field,
           fmt::join(known, ", "));
    }
  }
  return query.fields;
}

// What one row of the answer is read into: a bucket's share of one job.
struct Share {
  struct Field {
    FieldSummary summary;
    soci::indicator min = soci::i_null, mean = soci::i_null, max = soci::i_null;
  };
  int64_t time = 0, samples = 0;
  std::string job;
  std::vector<Field> fields;

  explicit Share(size_t count) : fields(count) {}
  void bind(soci::statement& statement) {
    statement.exchange(soci::into(time));
    statement.exchange(soci::into(job));
    statement.exchange(soci::into(samples));
    for (Field& field : fields) {
      statement.exchange(soci::into(field.summary.min, field.min));
      statement.exchange(soci::into(field.summary.mean, field.mean));
      statement.exchange(soci::into(field.summary.max, field.max));
      statement.exchange(soci::into(field.summary.count));
    }
  }
};

// Gathers shares, which come by bucket, into the series.
class Builder {
 public:
  Builder(HistorySeries& series, const std::vector<std::string>& names) : series_(series) {
    for (const std::string& name : names) series_.fields.push_back({name, {}, {}, {}});
    summaries_.resize(names.size());
  }

  void add(const Share& share) {
    if (samples_ > 0 && share.time != time_) finish();
    if (share.samples > most_) {
      most_ = share.samples;
      job_ = share.job;
    }
    time_ = share.time;
    samples_ += share.samples;
    for (size_t i = 0; i < summaries_.size(); ++i) summaries_[i].merge(share.fields[i].summary);
  }

  void finish() {
    if (samples_ == 0) return;
    series_.time.push_back(time_);
    series_.job.push_back(job_);
    for (size_t i = 0; i < summaries_.size(); ++i) {
      const FieldSummary summary = std::exchange(summaries_[i], {});
      const auto or_absent = [&](double value) {
        return summary.count > 0 ? std::optional(value) : std::nullopt;
      };
      series_.fields[i].min.push_back(or_absent(summary.min));
      series_.fields[i].mean.push_back(or_absent(summary.mean));
      series_.fields[i].max.push_back(or_absent(summary.max));
    }
    samples_ = most_ = 0;
  }

 private:
  HistorySeries& series_;
  int64_t time_ = 0, samples_ = 0, most_ = 0;
  std::string job_;
  std::vector<FieldSummary> summaries_;
};

int64_t coarsest_row(soci::session& session, const std::string& uuid, const std::string& condition) {
  int64_t coarsest = 1;
  soci::indicator found = soci::i_null;
  session << "SELECT MAX(bucket_s) FROM gpu_metrics_history WHERE " + condition, soci::into(coarsest, found),
      soci::use(uuid);
  return found == soci::i_null ? 1 : coarsest;
}

}  // namespace

HistorySeries DeviceHistory::query(const HistoryQuery& query) const {
  const std::vector<std::string> fields = checked_fields(query);
  if (query.buckets < 1)
    fail(ErrorCode::usage, "{} buckets asked of the device history: at least 1", query.buckets);
  if (query.from >= query.to) {
    fail(ErrorCode::usage, "device history from {} to {}: nothing lies between", query.from, query.to);
  }
  const int64_t from = std::clamp<int64_t>(query.from, 0, kEndOfTime - 1);
  const int64_t to = std::clamp(query.to, from + 1, kEndOfTime);
  // Rows that overlap the range, in the form that the primary key can answer.
  const std::string condition = fmt::format(
      "uuid = :uuid AND bucket_s IN (1, 10, 60) AND time > {} AND time < {} AND time + bucket_s > {}",
      from - 60, to, from);
  HistorySeries series;
  database_.read([&](soci::session& session) {
    series = {};
    series.bucket_s = choose_width(from, to, query.buckets, coarsest_row(session, query.uuid, condition));
    Builder builder(series, fields);
    Share share(fields.size());
    soci::statement statement(session);
    share.bind(statement);
    statement.exchange(soci::use(query.uuid));
    statement.alloc();
    statement.prepare(query_statement(fields, series.bucket_s, condition), soci::details::st_one_time_query);
    statement.define_and_bind();
    // With data exchange from the first row on: else SOCI runs the statement once per column to learn types.
    for (bool more = statement.execute(true); more; more = statement.fetch()) builder.add(share);
    builder.finish();
  });
  return series;
}

}  // namespace saemill
