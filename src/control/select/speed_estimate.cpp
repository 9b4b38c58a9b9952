#include "control/select/speed_estimate.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "common/base/error.h"

namespace saemill {
namespace {

constexpr size_t kNearest = 5;
constexpr double kUpdateOfParameter = 16;  // FLOPs: projection, both moments, the weight and its norm

double as_double(int64_t value) {
  return static_cast<double>(value);
}

double median(std::vector<double> values) {
  ensure(!values.empty(), "a median of nothing");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// A device's seconds of a step in which it computes; not above 0: what was measured makes no sense.
double compute_seconds(const PastRun& run) {
  return (run.step_ms - run.data_wait_ms - run.comm_exposed_ms) / 1e3;
}

// FLOPs per second and device.
double rate(const PastRun& run) {
  return work_of_activation(run.shape) * as_double(run.shape.batch) / as_double(run.devices) /
         compute_seconds(run);
}

double read_values(const SpeedShape& shape) {
  return as_double(shape.batch) * as_double(shape.d_in);
}

// How many times larger one is than the other, as a logarithm.
double apart(int64_t a, int64_t b) {
  return a < 1 || b < 1 ? 0 : std::abs(std::log(as_double(a) / as_double(b)));
}

double distance(const SpeedShape& a, const SpeedShape& b) {
  return apart(a.d_in, b.d_in) + apart(a.d_sae, b.d_sae) + apart(a.batch, b.batch) + apart(a.k, b.k) / 2;
}

bool makes_sense(const PastRun& run) {
  return run.devices > 0 && run.shape.batch > 0 && run.shape.d_in > 0 && run.shape.d_sae > 0 &&
         compute_seconds(run) > 0 && std::isfinite(run.step_ms);
}

// Of those that `fits`, which all are of one kind: the nearest.
template <typename Fits>
std::vector<const PastRun*> nearest(const SpeedShape& shape, int64_t devices,
                                    const std::vector<PastRun>& past, const Fits& fits) {
  // The kind, then the distance; of equals the first given, which is the newest.
  using Place = std::tuple<bool, bool, double, size_t>;
  std::vector<std::pair<Place, const PastRun*>> found;
  for (const PastRun& run : past) {
    if (!makes_sense(run) || !fits(run)) continue;
    found.push_back({{run.shape.architecture != shape.architecture, run.shape.dtype != shape.dtype,
                      distance(run.shape, shape) + apart(run.devices, devices), found.size()},
                     &run});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const PastRun*> runs;
  for (const auto& [place, run] : found) {
    const auto& [architecture, dtype, away, order] = place;
    const auto& best = found.front().first;
    if (runs.size() == kNearest || architecture != std::get<0>(best) || dtype != std::get<1>(best)) break;
    runs.push_back(run);
  }
  return runs;
}

template <typename Value>
double median_of(const std::vector<const PastRun*>& runs, const Value& value) {
  std::vector<double> values;
  for (const PastRun* run : runs) values.push_back(value(*run));
  return median(std::move(values));
}

}  // namespace

SpeedShape speed_shape(const RunConfig& resolved) {
  return {resolved.sae.architecture, resolved.train.dtype, resolved.activations.d_in,
          resolved.sae.d_sae,        resolved.sae.k,       resolved.train.batch_size};
}

double work_of_activation(const SpeedShape& shape) {
  const double d = as_double(shape.d_in), dense = d * as_double(shape.d_sae);
  const double update = kUpdateOfParameter * 2 * dense / as_double(std::max<int64_t>(1, shape.batch));
  if (shape.architecture == "topk") return 2 * dense + 8 * d * as_double(shape.k) + update;
  return 12 * dense + update;
}

double exchanged_bytes(const SpeedShape& shape, int64_t devices) {
  const double value = shape.dtype == "bf16" ? 2 : 4;
  const double rows = 2 * as_double(shape.batch) + 2 * as_double(shape.d_sae);
  return rows * as_double(shape.d_in) * value * as_double(devices - 1) / as_double(devices);
}

std::optional<SpeedEstimate> estimate_speed(const SpeedShape& shape, const std::string& device,
                                            int64_t devices, const std::vector<PastRun>& past) {
  const auto runs = nearest(shape, devices, past, [&](const PastRun& run) { return run.device == device; });
  if (runs.empty() || devices < 1 || shape.batch < 1) return std::nullopt;
  const double work = work_of_activation(shape) * as_double(shape.batch) / median_of(runs, rate);
  const double wait = read_values(shape) * median_of(runs, [](const PastRun& run) {
                        return run.data_wait_ms / 1e3 / read_values(run.shape);
                      });
  const auto exchanged = nearest(shape, devices, past,
                                 [&](const PastRun& run) { return run.device == device && run.devices > 1; });
  double exchange = 0;
  if (devices > 1 && !exchanged.empty())
    exchange = exchanged_bytes(shape, devices) * median_of(exchanged, [](const PastRun& run) {
                 return run.comm_exposed_ms / 1e3 / exchanged_bytes(run.shape, run.devices);
               });
  const double one = work + wait, all = work / as_double(devices) + wait + exchange;
  SpeedEstimate speed;
  speed.activations_per_second = as_double(shape.batch) / all;
  speed.based_on = static_cast<int64_t>(runs.size());
  if (devices == 1) speed.efficiency = 1;
  if (devices > 1 && !exchanged.empty()) speed.efficiency = std::min(1.0, one / all / as_double(devices));
  return speed;
}

void add_speed(nlohmann::ordered_json& json, const std::optional<SpeedEstimate>& speed) {
  if (!speed) return;
  json["activations_per_second"] = speed->activations_per_second;
  if (speed->efficiency) json["efficiency"] = *speed->efficiency;
  json["based_on"] = speed->based_on;
}

}  // namespace saemill
