#include "control/store/training_metrics.h"

#include <soci/soci.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "common/base/error.h"
#include "control/store/sql_cells.h"
#include "control/store/storable_text.h"

namespace saemill {
namespace {

// Names of a training: each found by its place in the primary key, not by reading every row.
constexpr const char* kNames =
    "WITH RECURSIVE names(name) AS ("
    "SELECT MIN(name) FROM training_metrics WHERE training_id = :t1"
    " UNION ALL SELECT (SELECT MIN(m.name) FROM training_metrics m"
    " WHERE m.training_id = :t2 AND m.name > names.name) FROM names WHERE names.name IS NOT NULL)";

// Names as above, of every wanted training; then of each the last step. Everything is a scalar asked by the
// beginning of the primary key, so that no planner reads all rows: for {0} the trainings, {1} the most names
// of each, {2} the rank.
constexpr const char* kLatest =
    "WITH RECURSIVE wanted(id) AS (VALUES {0}), names(id, name, place) AS ("
    "SELECT id, (SELECT MIN(m.name) FROM training_metrics m WHERE m.training_id = wanted.id), 1 FROM wanted"
    " UNION ALL SELECT id, (SELECT MIN(m.name) FROM training_metrics m"
    " WHERE m.training_id = names.id AND m.name > names.name), place + 1"
    " FROM names WHERE name IS NOT NULL AND place < {1}),"
    " ends(id, name, step) AS MATERIALIZED (SELECT id, name, (SELECT MAX(m.step) FROM training_metrics m"
    " WHERE m.training_id = names.id AND m.name = names.name AND m.rank = {2})"
    " FROM names WHERE name IS NOT NULL)"
    " SELECT id, name, step,"
    " (SELECT m.time_ms FROM training_metrics m WHERE m.training_id = ends.id AND m.name = ends.name"
    " AND m.rank = {2} AND m.step = ends.step),"
    " (SELECT m.value FROM training_metrics m WHERE m.training_id = ends.id AND m.name = ends.name"
    " AND m.rank = {2} AND m.step = ends.step) FROM ends WHERE step IS NOT NULL";

std::vector<std::string> select_names(soci::session& session, const std::string& training) {
  std::string name;
  soci::statement statement =
      (session.prepare << kNames
                       << fmt::format(" SELECT name FROM names WHERE name IS NOT NULL LIMIT {}",
                                      TrainingMetrics::kMostNames),
       soci::use(training), soci::use(training), soci::into(name));
  std::vector<std::string> found;
  for (bool more = statement.execute(true); more; more = statement.fetch()) found.push_back(name);
  return found;
}

// The rows of one metric that a query asks for.
struct Rows {
  soci::session& session;
  const std::string training;
  const std::string condition;

  Rows(soci::session& open, const MetricQuery& query)
      : session(open),
        training(storable(query.training)),
        condition(fmt::format("FROM training_metrics WHERE training_id = :t AND name = :n AND rank = {}"
                              " AND step >= {} AND step <= {}",
                              query.rank, std::clamp<int64_t>(query.from_step, 0, kMostStep),
                              std::clamp<int64_t>(query.to_step, 0, kMostStep))) {}
};

// Of all `names` together; more than `most` of them: at least most + 1.
size_t count_steps(const Rows& rows, const std::vector<std::string>& names, int64_t most) {
  std::set<int64_t> steps;
  for (const std::string& name : names) {
    int64_t step = 0;
    soci::statement statement = (rows.session.prepare << fmt::format("SELECT step {} ORDER BY step LIMIT {}",
                                                                     rows.condition, most + 1),
                                 soci::use(rows.training), soci::use(name), soci::into(step));
    for (bool more = statement.execute(true); more; more = statement.fetch()) steps.insert(step);
    if (steps.size() > static_cast<size_t>(most)) break;
  }
  return steps.size();
}

// 1, 2, 5, 10, 20, ...: the smallest that makes at most `buckets` of first to last.
int64_t choose_width(int64_t first, int64_t last, int64_t buckets) {
  constexpr int64_t kMost = 10 * kMostStep;
  for (int64_t power = 1; power < kMost; power *= 10) {
    for (const int64_t width : {power, 2 * power, 5 * power}) {
      if (last / width - first / width < buckets) return width;
    }
  }
  return kMost;
}

int64_t width_for(const Rows& rows, const std::vector<std::string>& names, int64_t buckets) {
  int64_t first = kMostStep, last = 0;
  for (const std::string& name : names) {
    int64_t low = 0, high = 0;
    soci::indicator found = soci::i_null, found_too = soci::i_null;
    rows.session << "SELECT MIN(step), MAX(step) " << rows.condition, soci::into(low, found),
        soci::into(high, found_too), soci::use(rows.training), soci::use(name);
    if (found == soci::i_null) continue;
    first = std::min(first, low);
    last = std::max(last, high);
  }
  return first > last ? 1 : choose_width(first, last, buckets);
}

struct Bucket {
  int64_t step = 0, time_ms = 0, count = 0;
  double min = 0, max = 0, sum = 0;
};
using Buckets = std::map<int64_t, Bucket>;

// A sum that overflows is an error for PostgreSQL, so what goes into one is bounded.
Buckets select_buckets(const Rows& rows, const std::string& name, int64_t width) {
  int64_t place = 0;
  Bucket row;
  soci::indicator min = soci::i_null, max = soci::i_null, sum = soci::i_null;
  soci::statement statement =
      (rows.session.prepare << fmt::format(
           "SELECT step / {0}, MIN(step), MIN(time_ms), COUNT(value), MIN(value), MAX(value),"
           " SUM(CASE WHEN value > 1e290 THEN 1e290 WHEN value < -1e290 THEN -1e290 ELSE value END)"
           " {1} GROUP BY step / {0}",
           width, rows.condition),
       soci::use(rows.training), soci::use(name), soci::into(place), soci::into(row.step),
       soci::into(row.time_ms), soci::into(row.count), soci::into(row.min, min), soci::into(row.max, max),
       soci::into(row.sum, sum));
  Buckets buckets;
  for (bool more = statement.execute(true); more; more = statement.fetch()) buckets[place] = row;
  return buckets;
}

MetricSeries assemble(const std::vector<std::string>& names, const std::vector<Buckets>& found) {
  std::map<int64_t, std::pair<int64_t, int64_t>> places;  // bucket -> first step and its time
  for (const Buckets& buckets : found) {
    for (const auto& [place, bucket] : buckets) {
      const std::pair begin(bucket.step, bucket.time_ms);
      const auto [at, added] = places.try_emplace(place, begin);
      if (!added) at->second = std::min(at->second, begin);
    }
  }
  MetricSeries series;
  for (const auto& [place, begin] : places) {
    series.step.push_back(begin.first);
    series.time.push_back(static_cast<double>(begin.second) / 1e3);
  }
  for (size_t i = 0; i < names.size(); ++i) {
    MetricSeries::Metric metric{names[i], {}, {}, {}};
    for (const auto& [place, begin] : places) {
      const auto at = found[i].find(place);
      const bool measured = at != found[i].end() && at->second.count > 0;
      const Bucket bucket = measured ? at->second : Bucket{};
      const double mean = measured ? bucket.sum / static_cast<double>(bucket.count) : 0;
      const auto or_absent = [&](double value) {
        return measured ? std::optional<double>(value) : std::optional<double>();
      };
      metric.min.push_back(or_absent(bucket.min));
      metric.mean.push_back(or_absent(std::clamp(mean, bucket.min, bucket.max)));
      metric.max.push_back(or_absent(bucket.max));
    }
    series.metrics.push_back(std::move(metric));
  }
  return series;
}

void check(const MetricQuery& query) {
  if (query.buckets < 1 || query.buckets > TrainingMetrics::kMostBuckets) {
    fail(ErrorCode::usage, "{} buckets asked of the metrics; accepted: 1 to {}", query.buckets,
         TrainingMetrics::kMostBuckets);
  }
  if (query.names.size() > TrainingMetrics::kMostNames) {
    fail(ErrorCode::usage, "{} metrics asked at once; accepted: up to {}", query.names.size(),
         TrainingMetrics::kMostNames);
  }
  if (query.from_step > query.to_step) {
    fail(ErrorCode::usage, "metrics from step {} to {}: nothing lies between", query.from_step,
         query.to_step);
  }
}

}  // namespace

MetricSeries TrainingMetrics::query(const MetricQuery& query) const {
  check(query);
  MetricSeries series;
  database_.read([&](soci::session& session) {
    const Rows rows(session, query);
    std::vector<std::string> names = query.names;
    if (names.empty()) names = select_names(session, rows.training);
    for (std::string& name : names) name = storable(name);
    const bool exact = count_steps(rows, names, query.buckets) <= static_cast<size_t>(query.buckets);
    const int64_t width = exact ? 1 : width_for(rows, names, query.buckets);
    std::vector<Buckets> found;
    for (const std::string& name : names) found.push_back(select_buckets(rows, name, width));
    series = assemble(names, found);
    series.exact = exact;
  });
  return series;
}

std::vector<LatestMetric> TrainingMetrics::latest(const std::string& training) const {
  auto found = latest(std::vector<std::string>{training});
  return found.empty() ? std::vector<LatestMetric>() : std::move(found.begin()->second);
}

std::map<std::string, std::vector<LatestMetric>> TrainingMetrics::latest(
    const std::vector<std::string>& trainings) const {
  std::map<std::string, std::vector<LatestMetric>> found;
  if (trainings.empty()) return found;
  SqlCells cells;
  database_.read([&](soci::session& session) {
    found.clear();
    soci::statement statement(session);
    std::string wanted;
    for (size_t i = 0; i < trainings.size(); ++i) {
      wanted += fmt::format("{}(CAST(:t{} AS TEXT))", wanted.empty() ? "" : ", ", i);
      cells.use(statement, trainings[i]);
    }
    std::string training;
    LatestMetric row;
    double value = 0;
    soci::indicator finite = soci::i_null;
    for (auto* text : {&training, &row.name}) statement.exchange(soci::into(*text));
    for (auto* number : {&row.step, &row.time_ms}) statement.exchange(soci::into(*number));
    statement.exchange(soci::into(value, finite));
    for (bool more = execute(statement, fmt::format(fmt::runtime(kLatest), wanted, kMostNames, kAllRanks));
         more; more = statement.fetch()) {
      row.value.reset();
      if (finite == soci::i_ok) row.value = value;
      found[training].push_back(row);
    }
  });
  for (auto& [training, metrics] : found)
    std::sort(metrics.begin(), metrics.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return found;
}

std::vector<std::string> TrainingMetrics::names(const std::string& training) const {
  std::vector<std::string> found;
  database_.read([&](soci::session& session) { found = select_names(session, storable(training)); });
  return found;
}

}  // namespace saemill
