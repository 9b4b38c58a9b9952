#include "engine/train/step.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/base/clock.h"
#include "common/plan/tiles.h"

namespace saemill {
namespace {

Codes slice_codes(const Codes& codes, int64_t first, int64_t last) {
  return {codes.index.slice(first, last), codes.value.slice(first, last), codes.grad.slice(first, last)};
}

// Rows of blocks of 64 that belong to activations [first, last).
View block_slice(const View& view, int64_t first, int64_t last) {
  return view.slice(first / kBlock, ceil_div(last, kBlock));
}

}  // namespace

// Sums over the global batch, added up in the order of its rows.
struct Step::Sums {
  std::array<double, kRowStats> stats{};
  std::vector<double> bias;     // column sums of the residual
  std::vector<double> moments;  // column sums of x, and of squares
};

Step::Step(const RunConfig& config, const Plan& plan, const Arena& arena, const Architecture& architecture,
           Backend& backend, Communicator& comm, TrainingState& state)
    : config_(config),
      plan_(plan),
      architecture_(architecture),
      backend_(backend),
      comm_(comm),
      state_(state),
      centered_(arena["centered"]),
      residual_(arena["residual"]),
      aux_residual_(arena["aux_residual"]),
      row_stats_(arena["row_stats"]),
      row_block_sums_(arena["row_block_sums"]),
      data_moments_(arena["data_moments"]),
      latent_block_sums_(arena["latent_block_sums"]),
      latent_block_norms_(arena["latent_block_norms"]),
      signals_(arena["signals"]),
      dead_(arena["dead"]),
      grad_W_enc_(arena["grad_W_enc"]),
      grad_W_dec_(arena["grad_W_dec"]),
      grad_b_enc_(arena["grad_b_enc"]),
      grad_b_dec_(arena["grad_b_dec"]),
      codes_{arena["codes.index"], arena["codes.value"], arena["codes.grad"]},
      aux_{arena["aux.index"], arena["aux.value"], arena["aux.grad"]},
      by_latent_{arena["by_latent.offsets"], arena["by_latent.positions"]},
      aux_by_latent_{arena["aux_by_latent.offsets"], arena["aux_by_latent.positions"]} {
  backend_.reserve(state_.share.last_row - state_.share.first_row, plan_.code_slots, plan_.aux_slots);
}

template <typename Work>
void Step::timed(const char* phase, Work&& work) {
  const double start = monotonic_seconds();
  work();
  phases_[phase] += 1e3 * (monotonic_seconds() - start);
}

std::map<std::string, double> Step::take_phases() {
  std::map<std::string, double> phases = std::exchange(phases_, {});
  phases.merge(backend_.take_phases());
  return phases;
}

// Latents that have not fired for dead_after activations, before this step.
void Step::find_dead() {
  dead_.cols = 0;
  const int64_t seen = state_.step * config_.train.batch_size;
  if (seen < config_.sae.dead_after) return;
  const int64_t* last_fired = state_.last_fired.as<int64_t>();
  int32_t* dead = dead_.as<int32_t>();
  for (int64_t j = 0; j < state_.last_fired.cols; ++j)
    if (seen - last_fired[j] >= config_.sae.dead_after) dead[dead_.cols++] = static_cast<int32_t>(j);
}

ForwardTask Step::forward_task(const View& x, const StepInput& input) const {
  const int64_t first = state_.share.first_row, last = state_.share.last_row;
  const double batch = static_cast<double>(config_.train.batch_size);
  ForwardTask task;
  task.centered = centered_.slice(first, round_up(last, kRowTile));
  task.packed = state_.packed;
  task.decode = {x,
                 state_.weights,
                 slice_codes(codes_, first, last),
                 {},
                 2 / batch,
                 config_.sae.aux_coefficient,
                 input.l1 / batch,
                 residual_.slice(first, last),
                 {},
                 row_stats_.slice(first, last),
                 block_slice(row_block_sums_, first, last)};
  task.select = {
      task.centered, last - first, state_.packed.encoder, state_.weights.b_enc, task.decode.codes, dead_, {}};
  if (dead_.cols > 0) {
    task.select.aux = task.decode.aux = slice_codes(aux_, first, last);
    task.decode.aux_residual = aux_residual_.slice(first, last);
  }
  return task;
}

// True: sparse codes. All ranks agree.
bool Step::forward(const View& x, const StepInput& input, bool sparse) {
  const ForwardTask task = forward_task(x, input);
  backend_.center(x, state_.weights.b_dec, task.centered);
  bool fits = true;
  fits = architecture_.forward(backend_, task, sparse);
  if (!sparse || !architecture_.may_overflow()) return sparse;
  std::array<double, 1> vote{fits ? 1.0 : 0.0};
  timed("exchange", [&] { comm_.all_reduce(std::span<double>(vote), Reduce::min); });
  if (vote[0] > 0) return true;
  architecture_.forward(backend_, task, false);
  return false;
}

void Step::gather_batch(bool log, const StepInput& input) {
  const int64_t rows = plan_.micro_batch_size;
  const int ranks = comm_.size();
  std::copy(input.signals.begin(), input.signals.end(), signals_.row<double>(comm_.rank()));
  const auto by_row = gathered_bounds(rows, kRowTile, 1, ranks),
             by_block = gathered_bounds(rows, kRowTile, kBlock, ranks);
  std::vector<Gathered> buffers{{centered_, by_row},         {residual_, by_row},
                                {codes_.index, by_row},      {codes_.value, by_row},
                                {codes_.grad, by_row},       {row_stats_, by_row},
                                {row_block_sums_, by_block}, {signals_, gathered_bounds(ranks, 1, 1, ranks)}};
  if (log) buffers.push_back({data_moments_, by_block});
  if (dead_.cols > 0)
    for (const View& view : {aux_residual_, aux_.index, aux_.value, aux_.grad})
      buffers.push_back({view, by_row});
  gather(comm_, buffers);
}

void Step::add_batch_sums(Sums& sums, bool log) const {
  const int64_t n = state_.weights.W_enc.cols, rows = plan_.micro_batch_size;
  for (int64_t r = 0; r < rows; ++r)
    for (size_t s = 0; s < kRowStats; ++s) sums.stats[s] += row_stats_.row<double>(r)[s];
  for (int64_t b = 0; b < ceil_div(rows, kBlock); ++b) {
    for (int64_t i = 0; i < n; ++i)
      sums.bias[static_cast<size_t>(i)] += static_cast<double>(row_block_sums_.row<float>(b)[i]);
    for (int64_t i = 0; log && i <= n; ++i)
      sums.moments[static_cast<size_t>(i)] += data_moments_.row<double>(b)[i];
  }
}

LatentTask Step::latent_task(const StepInput& input) const {
  LatentTask task;
  task.first = state_.share.first_latent;
  task.last = state_.share.last_latent;
  task.rows = plan_.micro_batch_size;
  task.sae = state_.weights;
  task.m = state_.m;
  task.v = state_.v;
  task.packed = state_.packed;
  task.centered = centered_;
  task.residual = residual_;
  task.codes = codes_;
  task.by_latent = by_latent_;
  if (dead_.cols > 0) {
    task.aux = aux_;
    task.aux_residual = aux_residual_;
    task.aux_by_latent = aux_by_latent_;
  }
  task.l1 = input.l1 / static_cast<double>(config_.train.batch_size);
  task.grad_W_enc = grad_W_enc_;
  task.grad_W_dec = grad_W_dec_;
  task.grad_b_enc = grad_b_enc_;
  task.unit_norm = config_.sae.unit_norm_decoder;
  task.adam = input.adam;
  task.last_fired = state_.last_fired;
  task.now = (state_.step + 1) * config_.train.batch_size;
  task.block_sums = latent_block_sums_;
  task.block_norms = latent_block_norms_;
  return task;
}

void Step::gather_latents() {
  const int64_t M = state_.weights.W_enc.rows, chunk = latent_chunk(M);
  const int ranks = comm_.size();
  const auto by_latent = gathered_bounds(M, chunk, 1, ranks),
             by_block = gathered_bounds(M, chunk, kBlock, ranks),
             by_chunk = gathered_bounds(M, chunk, chunk, ranks);
  const auto column = [](View view) { return View{view.data, view.dtype, view.cols, 1}; };
  gather(comm_, {{state_.weights.W_enc, by_latent},
                 {state_.weights.W_dec, by_latent},
                 {column(state_.weights.b_enc), by_latent},
                 {column(state_.last_fired), by_latent},
                 {state_.packed.encoder, by_chunk},
                 {state_.packed.decoder, by_chunk},
                 {state_.packed.decoder_transposed, by_chunk},
                 {latent_block_sums_, by_block},
                 {column(latent_block_norms_), by_block}});
}

// Of all parameters; also leaves the gradient of b_dec, which is
//   sum_b r_b - sum_j (gradient of b_enc)_j W_enc_j, the second because the encoder sees x - b_dec.
double Step::gradient_norm(std::span<const double> row_sums) {
  const int64_t n = state_.weights.W_enc.cols, blocks = latent_block_sums_.rows;
  std::vector<double> gradient(row_sums.begin(), row_sums.end());
  double squares = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    squares += latent_block_norms_.as<double>()[b];
    for (int64_t i = 0; i < n; ++i)
      gradient[static_cast<size_t>(i)] -= static_cast<double>(latent_block_sums_.row<float>(b)[i]);
  }
  for (int64_t i = 0; i < n; ++i) {
    squares += gradient[static_cast<size_t>(i)] * gradient[static_cast<size_t>(i)];
    grad_b_dec_.as<float>()[i] = static_cast<float>(gradient[static_cast<size_t>(i)]);
  }
  return std::sqrt(squares);
}

// Clipping needs the norm of all gradients before any is applied: a pass of its own.
void Step::update(const StepInput& input, bool sparse, Sums& sums, StepResult& result) {
  LatentTask task = latent_task(input);
  task.add_batch = !plan_.stores_gradients;
  double clip_factor = 1;
  if (config_.train.clip_norm > 0) {
    task.pass = LatentPass::norm;
    architecture_.update(backend_, task, sparse);
    timed("exchange", [&] { gather_latents(); });
    const double norm = gradient_norm(sums.bias);
    if (norm > config_.train.clip_norm) clip_factor = config_.train.clip_norm / norm;
    timed("exchange", [&] { comm_.barrier(); });
  }
  task.pass = LatentPass::apply;
  task.clip_factor = clip_factor;
  architecture_.update(backend_, task, sparse);
  timed("exchange", [&] { gather_latents(); });
  result.grad_norm = gradient_norm(sums.bias);
  backend_.adam(state_.weights.b_dec, grad_b_dec_, state_.m.b_dec, state_.v.b_dec, input.adam, clip_factor);
}

StepResult Step::run(BatchLoader& loader, const StepInput& input) {
  const int64_t n = state_.weights.W_enc.cols, first = state_.share.first_row, last = state_.share.last_row;
  const auto batch = static_cast<double>(config_.train.batch_size);
  const int64_t micro_batches = config_.train.batch_size / plan_.micro_batch_size;
  Sums sums;
  sums.bias.resize(static_cast<size_t>(n));
  sums.moments.resize(static_cast<size_t>(n + 1));
  find_dead();
  StepResult result;
  result.dead = dead_.cols;
  if (plan_.aux_slots == 0) dead_.cols = 0;
  const bool preferred = architecture_.prefers_sparse(state_.previous_l0);
  bool sparse = preferred;
  for (const View& view : {grad_W_enc_, grad_W_dec_, grad_b_enc_})
    if (view) std::memset(view.data, 0, view.bytes());
  for (int64_t micro = 0; micro < micro_batches; ++micro) {
    std::span<const float> rows;
    timed("data_wait", [&] { rows = loader.next(); });
    const View x{reinterpret_cast<std::byte*>(const_cast<float*>(rows.data())), DType::f32, last - first, n};
    sparse = forward(x, input, preferred);
    if (input.log) backend_.data_moments(x, block_slice(data_moments_, first, last));
    timed("exchange", [&] { gather_batch(input.log, input); });
    timed("sums", [&] { add_batch_sums(sums, input.log); });
    if (micro == 0)
      for (int r = 0; r < comm_.size(); ++r)
        std::copy_n(signals_.row<double>(r), kSignals, result.signals.emplace_back().begin());
    if (!plan_.stores_gradients) continue;
    LatentTask task = latent_task(input);
    task.pass = LatentPass::accumulate;
    architecture_.update(backend_, task, sparse);
    timed("exchange",
          [&] { comm_.barrier(); });  // the next micro-batch overwrites what others may still read
  }
  result.mse = sums.stats[kSquaredError] / batch;
  result.l1_norm = sums.stats[kL1] / batch;
  result.l0 = sums.stats[kL0] / batch;
  result.aux_mse = sums.stats[kAuxSquaredError] / batch;
  if (!std::isfinite(result.mse))
    fail(ErrorCode::bad_data, "step {}: the loss is not finite ({}); a lower train.lr may help",
         state_.step + 1, result.mse);
  double mean_square = 0;
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) mean_square += std::pow(sums.moments[i] / batch, 2);
  result.total_variance = sums.moments[static_cast<size_t>(n)] / batch - mean_square;
  update(input, sparse, sums, result);
  state_.previous_l0 = result.l0;
  ++state_.step;
  return result;
}

}  // namespace saemill
