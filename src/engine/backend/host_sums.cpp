// What backends in this process's memory share: sums in index order, and the list of dead latents.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/plan/tiles.h"
#include "engine/backend/backend.h"

namespace saemill {
namespace {

template <typename Real>
void add_columns(const View& blocks, double* sums) {
  for (int64_t b = 0; b < blocks.rows; ++b)
    for (int64_t i = 0; i < blocks.cols; ++i) sums[i] += static_cast<double>(blocks.row<Real>(b)[i]);
}

template <typename Real>
double bias_gradient(const GradientTask& task) {
  const int64_t n = task.block_sums.cols;
  std::vector<double> gradient(task.bias.as<double>(), task.bias.as<double>() + n);
  double squares = 0;
  for (int64_t b = 0; b < task.block_sums.rows; ++b) {
    squares += task.block_norms.as<double>()[b];
    for (int64_t i = 0; i < n; ++i)
      gradient[static_cast<size_t>(i)] -= static_cast<double>(task.block_sums.row<Real>(b)[i]);
  }
  for (int64_t i = 0; i < n; ++i) {
    squares += gradient[static_cast<size_t>(i)] * gradient[static_cast<size_t>(i)];
    task.grad_b_dec.as<Real>()[i] = static_cast<Real>(gradient[static_cast<size_t>(i)]);
  }
  return squares;
}

}  // namespace

DeadList dead_list(const View& dead) {
  if (!dead) return {};
  const int32_t* list = dead.as<int32_t>();
  return {list + 1, list + 1 + list[0]};
}

void Backend::read(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Backend::write(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Backend::zero(const View& view) {
  if (view) std::memset(view.data, 0, view.bytes());
}

void Backend::do_find_dead(const View& last_fired, const StepScalars* scalars, int64_t dead_after,
                           const View& dead, const View& sums) {
  const int64_t* fired = last_fired.as<int64_t>();
  int32_t* list = dead.as<int32_t>();
  int32_t count = 0;
  for (int64_t j = 0; j < last_fired.cols; ++j)
    if (scalars->seen - fired[j] >= dead_after) list[++count] = static_cast<int32_t>(j);
  list[0] = count;
  sums.as<double>()[kDeadLatents] = count;
}

void Backend::do_sum_batch(const SumTask& task) {
  double* sums = task.sums.as<double>();
  for (int64_t r = 0; r < task.row_stats.rows; ++r)
    for (int64_t s = 0; s < kRowStats; ++s) sums[s] += task.row_stats.row<double>(r)[s];
  if (real() == DType::f64)
    add_columns<double>(task.block_sums, task.bias.as<double>());
  else
    add_columns<float>(task.block_sums, task.bias.as<double>());
  if (task.data_moments) add_columns<double>(task.data_moments, task.moments.as<double>());
}

void Backend::do_finish_gradient(const GradientTask& task) {
  const double squares = real() == DType::f64 ? bias_gradient<double>(task) : bias_gradient<float>(task);
  const double norm = std::sqrt(squares);
  double* sums = task.sums.as<double>();
  sums[kGradientSquares] = squares;
  sums[kClipFactor] = task.clip_norm > 0 && norm > task.clip_norm ? task.clip_norm / norm : 1.0;
}

}  // namespace saemill
