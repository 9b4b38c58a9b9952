#include "engine/backend/backend.h"

#include <utility>

#include "common/base/clock.h"
#include "common/plan/tiles.h"

namespace saemill {
namespace {

void check(const View& view, DType dtype, int64_t rows, int64_t cols, const char* name) {
  if (view.dtype == dtype && view.rows >= rows && view.cols == cols && (view.data || rows * cols == 0))
    return;
  fail(ErrorCode::internal, "backend: {} is {} [{}, {}]; {} [{}, {}] is needed", name, dtype_name(view.dtype),
       view.rows, view.cols, dtype_name(dtype), rows, cols);
}

void check_codes(const Codes& codes, DType real, int64_t rows) {
  check(codes.index, DType::i32, rows, codes.index.cols, "codes.index");
  check(codes.value, real, rows, codes.index.cols, "codes.value");
}

void check_sae(const SaeViews& sae, DType real) {
  check(sae.W_dec, real, sae.W_enc.rows, sae.W_enc.cols, "W_dec");
  check(sae.W_enc, real, sae.W_dec.rows, sae.W_dec.cols, "W_enc");
  check(sae.b_enc, real, 1, sae.W_enc.rows, "b_enc");
}

}  // namespace

template <typename Work>
void Backend::timed(const char* phase, Work&& work) {
  begin_phase(phase);
  work();
  end_phase(phase);
}

void Backend::begin_phase(const char*) {
  phase_start_ = monotonic_seconds();
}

void Backend::end_phase(const char* phase) {
  phases_[phase] += 1e3 * (monotonic_seconds() - phase_start_);
}

std::map<std::string, double> Backend::take_phases() {
  return std::exchange(phases_, {});
}

void Backend::center(const View& x, const View& b_dec, const View& centered) {
  check(x, real(), 0, b_dec.cols, "x");
  check(b_dec, real(), 1, x.cols, "b_dec");
  check(centered, low(), x.rows, x.cols, "centered");
  timed("center", [&] { do_center(x, b_dec, centered); });
}

void Backend::pack(const SaeViews& sae, const PackedViews& packed, int64_t first, int64_t last) {
  check_sae(sae, real());
  const int64_t chunks = ceil_div(sae.W_enc.rows, latent_chunk(sae.W_enc.rows));
  check(packed.encoder, DType::u8, chunks, packed_chunk_bytes(), "packed encoder");
  ensure(first % latent_chunk(sae.W_enc.rows) == 0, "packing starts inside a chunk");
  timed("pack", [&] { do_pack(sae, packed, first, last); });
}

void Backend::find_dead(const View& last_fired, const StepScalars* scalars, int64_t dead_after,
                        const View& dead, const View& sums) {
  check(last_fired, DType::i64, 1, dead.cols - 1, "last_fired");
  check(dead, DType::i32, 1, last_fired.cols + 1, "dead");
  check(sums, DType::f64, 1, kStepSums, "sums");
  timed("find_dead", [&] { do_find_dead(last_fired, scalars, dead_after, dead, sums); });
}

void Backend::select(const SelectTask& task) {
  check(task.centered, low(), round_up(task.rows, kRowTile), task.centered.cols, "centered");
  check(task.b_enc, real(), 1, task.b_enc.cols, "b_enc");
  check_codes(task.codes, real(), task.rows);
  if (task.dead) check_codes(task.aux, real(), task.rows);
  if (task.dead) check(task.dead, DType::i32, 1, task.b_enc.cols + 1, "dead");
  if (task.overflow) check(task.overflow, DType::i32, 1, 1, "overflow");
  timed("select", [&] { do_select(task); });
}

void Backend::decode(const DecodeTask& task) {
  const int64_t rows = task.x.rows, n = task.x.cols;
  check_sae(task.sae, real());
  check(task.x, real(), rows, task.sae.W_dec.cols, "x");
  check_codes(task.codes, real(), rows);
  check(task.codes.grad, real(), rows, task.codes.index.cols, "codes.grad");
  check(task.residual, low(), rows, n, "residual");
  check(task.row_stats, DType::f64, rows, kRowStats, "row_stats");
  check(task.block_sums, real(), ceil_div(rows, kBlock), n, "block_sums");
  if (task.aux.index)
    check_codes(task.aux, real(), rows), check(task.aux_residual, low(), rows, n, "aux_residual");
  timed("decode", [&] { do_decode(task); });
}

void Backend::group_by_latent(const Codes& codes, int64_t first, int64_t last, const LatentIndex& out) {
  check_codes(codes, real(), codes.index.rows);
  check(out.offsets, DType::i64, 1, out.offsets.cols, "offsets");
  ensure(out.offsets.cols > last - first, "offsets are too short");
  timed("group", [&] { do_group_by_latent(codes, first, last, out); });
}

void Backend::dense_forward(const DenseForwardTask& task) {
  const int64_t rows = task.x.rows, n = task.x.cols;
  check_sae(task.sae, real());
  check(task.centered, low(), round_up(rows, kRowTile), n, "centered");
  check(task.residual, low(), rows, n, "residual");
  check(task.row_stats, DType::f64, rows, kRowStats, "row_stats");
  check(task.block_sums, real(), ceil_div(rows, kBlock), n, "block_sums");
  timed("dense_forward", [&] { do_dense_forward(task); });
}

namespace {

void check_latents(const LatentTask& task, DType real, DType low) {
  check_sae(task.sae, real);
  check_sae(task.m, real);
  check_sae(task.v, real);
  const int64_t n = task.sae.W_enc.cols, blocks = ceil_div(task.sae.W_enc.rows, kBlock),
                latents = task.last - task.first;
  if (task.add_batch)
    check(task.residual, low, 0, n, "residual"), check(task.centered, low, 0, n, "centered");
  if (task.pass == LatentPass::accumulate || !task.add_batch)
    check(task.grad_W_enc, real, latents, n, "grad_W_enc");
  check(task.block_sums, real, blocks, n, "block_sums");
  check(task.block_norms, DType::f64, 1, blocks, "block_norms");
  ensure(task.first % kBlock == 0 && task.first <= task.last && task.last <= task.sae.W_enc.rows,
         "a wrong range of latents");
}

}  // namespace

void Backend::update_latents(const LatentTask& task) {
  check_latents(task, real(), low());
  timed("latents", [&] { do_update_latents(task); });
}

void Backend::update_latents_dense(const LatentTask& task) {
  check_latents(task, real(), low());
  timed("latents", [&] { do_update_latents_dense(task); });
}

void Backend::data_moments(const View& x, const View& out) {
  check(x, real(), x.rows, x.cols, "x");
  check(out, DType::f64, ceil_div(x.rows, kBlock), x.cols + 1, "moments");
  timed("moments", [&] { do_data_moments(x, out); });
}

void Backend::sum_batch(const SumTask& task) {
  const int64_t n = task.bias.cols, blocks = ceil_div(task.row_stats.rows, kBlock);
  check(task.row_stats, DType::f64, 0, kRowStats, "row_stats");
  check(task.block_sums, real(), blocks, n, "block_sums");
  if (task.data_moments) check(task.data_moments, DType::f64, blocks, n + 1, "data_moments");
  if (task.data_moments) check(task.moments, DType::f64, 1, n + 1, "moments");
  check(task.sums, DType::f64, 1, kStepSums, "sums");
  check(task.bias, DType::f64, 1, n, "bias");
  timed("sums", [&] { do_sum_batch(task); });
}

void Backend::finish_gradient(const GradientTask& task) {
  const int64_t n = task.bias.cols;
  check(task.bias, DType::f64, 1, n, "bias");
  check(task.block_sums, real(), 0, n, "block_sums");
  check(task.block_norms, DType::f64, 1, task.block_sums.rows, "block_norms");
  check(task.grad_b_dec, real(), 1, n, "grad_b_dec");
  check(task.sums, DType::f64, 1, kStepSums, "sums");
  timed("sums", [&] { do_finish_gradient(task); });
}

void Backend::adam(const View& param, const View& grad, const View& m, const View& v,
                   const StepScalars* scalars, const double* clip_factor) {
  check(param, real(), 1, grad.cols, "param");
  check(grad, real(), 1, param.cols, "grad");
  check(m, real(), 1, param.cols, "m");
  check(v, real(), 1, param.cols, "v");
  timed("adam", [&] { do_adam(param, grad, m, v, scalars, clip_factor); });
}

}  // namespace saemill
