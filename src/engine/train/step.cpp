#include "engine/train/step.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/plan/tiles.h"
#include "engine/train/gathered_bounds.h"

namespace saemill {
namespace {

static_assert(sizeof(StepScalars) <= 64 && kStepSums == 7, "the plan has other sizes");

Codes slice_codes(const Codes& codes, int64_t first, int64_t last) {
  return {codes.index.slice(first, last), codes.value.slice(first, last), codes.grad.slice(first, last)};
}

// Rows of blocks of 64 that belong to activations [first, last).
View block_slice(const View& view, int64_t first, int64_t last) {
  return view.slice(first / kBlock, ceil_div(last, kBlock));
}

}  // namespace

Step::Step(const StepParts& parts)
    : config_(parts.config),
      plan_(parts.plan),
      architecture_(parts.architecture),
      backend_(parts.backend),
      comm_(parts.comm),
      exchange_(parts.exchange),
      state_(parts.state) {
  const Arena& arena = parts.arena;
  const std::pair<const char*, View*> views[] = {
      {"centered", &centered_},
      {"residual", &residual_},
      {"aux_residual", &aux_residual_},
      {"row_stats", &row_stats_},
      {"row_block_sums", &row_block_sums_},
      {"data_moments", &data_moments_},
      {"latent_block_sums", &latent_block_sums_},
      {"latent_block_norms", &latent_block_norms_},
      {"signals", &signals_},
      {"dead", &dead_},
      {"overflow", &overflow_},
      {"grad_W_enc", &grad_W_enc_},
      {"grad_W_dec", &grad_W_dec_},
      {"grad_b_enc", &grad_b_enc_},
      {"grad_b_dec", &grad_b_dec_},
      {"step_scalars", &step_scalars_},
      {"step_sums", &sums_},
      {"bias_sums", &bias_sums_},
      {"moment_sums", &moment_sums_},
      {"codes.index", &codes_.index},
      {"codes.value", &codes_.value},
      {"codes.grad", &codes_.grad},
      {"aux.index", &aux_.index},
      {"aux.value", &aux_.value},
      {"aux.grad", &aux_.grad},
      {"by_latent.offsets", &by_latent_.offsets},
      {"by_latent.positions", &by_latent_.positions},
      {"aux_by_latent.offsets", &aux_by_latent_.offsets},
      {"aux_by_latent.positions", &aux_by_latent_.positions},
  };
  for (const auto& [name, view] : views) *view = arena[name];
  const Share& share = state_.share;
  backend_.reserve({state_.weights.W_enc.cols, state_.weights.W_enc.rows, share.last_row - share.first_row,
                    plan_.micro_batch_size, plan_.code_slots, plan_.aux_slots,
                    share.last_latent - share.first_latent, architecture_.may_overflow(),
                    static_cast<int64_t>(dtype_size(backend_.low()))});
  // Nothing in it is decided by what the host is told in between, nor done by other ranks.
  records_ = backend_.is_asynchronous() && comm_.size() == 1 && exchange_.is_recordable() &&
             !plan_.stores_gradients && !architecture_.may_overflow();
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

void Step::write_scalars(const StepInput& input) {
  const auto batch = config_.train.batch_size;
  const StepScalars scalars{input.adam, input.l1 / static_cast<double>(batch), state_.step * batch,
                            (state_.step + 1) * batch};
  backend_.write_soon(step_scalars_.data, &scalars, sizeof scalars);
}

void Step::clear_sums(bool log) {
  if (log) backend_.zero(moment_sums_);
  for (const View& view : {sums_, bias_sums_, grad_W_enc_, grad_W_dec_, grad_b_enc_}) backend_.zero(view);
}

bool Step::may_find_dead() const {
  return state_.step * config_.train.batch_size >= std::max(config_.sae.dead_after, none_dies_before_);
}

// Latents that have not fired for dead_after activations, before this step. Whether there are any.
bool Step::find_dead() {
  if (!may_find_dead()) return false;
  backend_.find_dead(state_.last_fired, reinterpret_cast<const StepScalars*>(step_scalars_.data),
                     config_.sae.dead_after, dead_, sums_);
  if (backend_.is_asynchronous()) return true;  // it would have to be waited for
  double dead = 0;
  backend_.read(&dead, sums_.as<double>() + kDeadLatents, sizeof dead);
  return dead > 0;
}

ForwardTask Step::forward_task(const View& x) const {
  const int64_t first = state_.share.first_row, last = state_.share.last_row;
  ForwardTask task;
  task.centered = centered_.slice(first, round_up(last, kRowTile));
  task.packed = state_.packed;
  DecodeTask& decode = task.decode;
  decode.x = x;
  decode.sae = state_.weights;
  decode.packed = state_.packed.decoder;
  decode.codes = slice_codes(codes_, first, last);
  decode.scale = 2 / static_cast<double>(config_.train.batch_size);
  decode.aux_coefficient = config_.sae.aux_coefficient;
  decode.scalars = reinterpret_cast<const StepScalars*>(step_scalars_.data);
  decode.residual = residual_.slice(first, last);
  decode.row_stats = row_stats_.slice(first, last);
  decode.block_sums = block_slice(row_block_sums_, first, last);
  SelectTask& select = task.select;
  select.centered = task.centered;
  select.rows = last - first;
  select.packed = state_.packed.encoder;
  select.b_enc = state_.weights.b_enc;
  select.codes = decode.codes;
  if (architecture_.may_overflow()) select.overflow = overflow_;
  const int64_t chunk = latent_chunk(state_.weights.W_enc.rows);
  if (backend_.is_asynchronous())
    select.await = [this, chunk](int64_t end) { exchange_.await(ceil_div(end, chunk)); };
  if (uses_aux_) {
    task.select.dead = dead_;
    task.select.aux = decode.aux = slice_codes(aux_, first, last);
    decode.aux_residual = aux_residual_.slice(first, last);
  }
  return task;
}

// True: sparse codes. All ranks agree.
bool Step::forward(const View& x, bool sparse, std::function<void()> selected) {
  ForwardTask task = forward_task(x);
  task.selected = std::move(selected);
  backend_.center(x, state_.weights.b_dec, task.centered);
  if (!sparse) exchange_.await_all();
  const bool fits = architecture_.forward(backend_, task, sparse);
  if (!sparse || !architecture_.may_overflow()) return sparse;
  std::array<double, 1> vote{fits ? 1.0 : 0.0};
  timed("exchange", [&] { comm_.all_reduce(std::span<double>(vote), Reduce::min); });
  if (vote[0] > 0) return true;
  exchange_.await_all();
  architecture_.forward(backend_, task, false);
  return false;
}

// Signals of odd and even steps have their own rows, so that no rank writes what a slower one still reads.
void Step::gather_batch(const StepInput& input, std::vector<Signals>& signals) {
  exchange_.await_all();
  const int64_t rows = plan_.micro_batch_size;
  const int ranks = comm_.size();
  const View mine = signals_.slice(state_.step % 2 * ranks, (state_.step % 2 + 1) * ranks);
  std::copy(input.signals.begin(), input.signals.end(), mine.row<double>(comm_.rank()));
  const auto by_row = gathered_bounds(rows, kRowTile, 1, ranks),
             by_block = gathered_bounds(rows, kRowTile, kBlock, ranks);
  std::vector<Gathered> buffers{{centered_, by_row},        {residual_, by_row},   {codes_.index, by_row},
                                {codes_.value, by_row},     {codes_.grad, by_row}, {row_stats_, by_row},
                                {row_block_sums_, by_block}};
  if (input.log) buffers.push_back({data_moments_, by_block});
  if (uses_aux_)
    for (const View& view : {aux_residual_, aux_.index, aux_.value, aux_.grad})
      buffers.push_back({view, by_row});
  const auto by_rank = gathered_bounds(ranks, 1, 1, ranks);
  if (!backend_.is_asynchronous()) {
    buffers.push_back({mine, by_rank});
    exchange_.gather(buffers);
  } else {
    exchange_.gather(buffers);
    std::vector<size_t> bounds;
    for (const int64_t rank : by_rank) bounds.push_back(static_cast<size_t>(rank) * mine.row_bytes());
    comm_.all_gather(mine.data, bounds);
  }
  signals.resize(static_cast<size_t>(ranks));
  for (int r = 0; r < ranks; ++r)
    std::copy_n(mine.row<double>(r), kSignals, signals[static_cast<size_t>(r)].begin());
}

LatentTask Step::latent_task() const {
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
  if (uses_aux_) {
    task.aux = aux_;
    task.aux_residual = aux_residual_;
    task.aux_by_latent = aux_by_latent_;
  }
  task.grad_W_enc = grad_W_enc_;
  task.grad_W_dec = grad_W_dec_;
  task.grad_b_enc = grad_b_enc_;
  task.unit_norm = config_.sae.unit_norm_decoder;
  task.scalars = reinterpret_cast<const StepScalars*>(step_scalars_.data);
  task.last_fired = state_.last_fired;
  task.block_sums = latent_block_sums_;
  task.block_norms = latent_block_norms_;
  return task;
}

std::vector<std::pair<std::string, View>> Step::common_state() {
  exchange_.await_all();
  const SaeViews &weights = state_.weights, &m = state_.m, &v = state_.v;
  std::vector<std::pair<std::string, View>> all{{"b_dec", weights.b_dec},
                                                {"m.b_dec", m.b_dec},
                                                {"v.b_dec", v.b_dec},
                                                {"b_enc", weights.b_enc},
                                                {"last_fired", state_.last_fired},
                                                {"packed.encoder", state_.packed.encoder},
                                                {"packed.decoder", state_.packed.decoder}};
  if (plan_.at("W_enc").owned_rows == 0) {
    all.emplace_back("W_enc", state_.weights.W_enc);
    all.emplace_back("W_dec", state_.weights.W_dec);
  }
  std::erase_if(all, [](const auto& entry) { return !entry.second; });
  return all;
}

// Where each rank keeps the masters of its own latents only, the others see the copies. `later`: the copies
// of GPUs arrive beside what follows, and are waited for chunk by chunk when they are read.
void Step::gather_latents(bool later) {
  const int64_t M = state_.weights.W_enc.rows, chunk = latent_chunk(M);
  const int ranks = comm_.size();
  const auto by_latent = gathered_bounds(M, chunk, 1, ranks),
             by_block = gathered_bounds(M, chunk, kBlock, ranks),
             by_chunk = gathered_bounds(M, chunk, chunk, ranks);
  const auto column = [](View view) { return View{view.data, view.dtype, view.cols, 1}; };
  std::vector<Gathered> copies;
  for (const View& view : {state_.packed.encoder, state_.packed.decoder, state_.packed.decoder_transposed})
    copies.push_back({view, by_chunk});
  std::vector<Gathered> buffers{{column(state_.weights.b_enc), by_latent},
                                {column(state_.last_fired), by_latent},
                                {latent_block_sums_, by_block},
                                {column(latent_block_norms_), by_block}};
  if (backend_.is_asynchronous()) {  // in f32 the copies are the masters
    exchange_.gather(buffers);
    exchange_.gather_in_pieces(copies);
    if (!later) exchange_.await_all();
    return;
  }
  buffers.insert(buffers.end(), copies.begin(), copies.end());
  buffers.push_back({state_.weights.W_enc, by_latent});
  buffers.push_back({state_.weights.W_dec, by_latent});
  exchange_.gather(buffers);
}

// Of b_dec; and the norm of all gradients.
void Step::finish_gradient() {
  backend_.finish_gradient(
      {bias_sums_, latent_block_sums_, latent_block_norms_, config_.train.clip_norm, grad_b_dec_, sums_});
}

void Step::group(const LatentTask& task) {
  backend_.group_by_latent(task.codes, task.first, task.last, task.by_latent);
  if (task.aux.index) backend_.group_by_latent(task.aux, task.first, task.last, task.aux_by_latent);
}

// Clipping needs the norm of all gradients before any is applied: a pass of its own.
void Step::update(bool sparse, bool grouped) {
  LatentTask task = latent_task();
  task.add_batch = !plan_.stores_gradients;
  if (task.add_batch && sparse && !grouped) group(task);
  const double* clip_factor = nullptr;
  if (config_.train.clip_norm > 0) {
    task.pass = LatentPass::norm;
    architecture_.update(backend_, task, sparse);
    timed("exchange", [&] { gather_latents(); });
    finish_gradient();
    clip_factor = sums_.as<double>() + kClipFactor;
    timed("exchange", [&] { exchange_.fence(); });
  }
  task.pass = LatentPass::apply;
  task.clip_factor = clip_factor;
  architecture_.update(backend_, task, sparse);
  timed("exchange", [&] { gather_latents(true); });
  finish_gradient();
  backend_.adam(state_.weights.b_dec, grad_b_dec_, state_.m.b_dec, state_.v.b_dec, task.scalars, clip_factor);
}

View Step::next_batch(BatchLoader& loader) {
  const int64_t rows = state_.share.last_row - state_.share.first_row;
  std::span<const float> values;
  timed("data_wait", [&] {
    const LongWork reading(comm_);
    values = loader.next();
  });
  View x{reinterpret_cast<std::byte*>(const_cast<float*>(values.data())), DType::f32, rows,
         state_.weights.W_enc.cols};
  timed("stage", [&] { x = backend_.stage(x); });
  return x;
}

void Step::sum_batch(const StepInput& input) {
  backend_.sum_batch(
      {row_stats_, row_block_sums_, input.log ? data_moments_ : View{}, sums_, bias_sums_, moment_sums_});
}

// True: sparse codes.
bool Step::run_micro_batch(const View& x, const StepInput& input, StepResult& result) {
  const bool sparse = forward(x, architecture_.prefers_sparse(state_.previous_l0));
  if (input.log)
    backend_.data_moments(x, block_slice(data_moments_, state_.share.first_row, state_.share.last_row));
  timed("exchange", [&] { gather_batch(input, result.signals); });
  sum_batch(input);
  if (!plan_.stores_gradients) return sparse;
  LatentTask task = latent_task();
  task.pass = LatentPass::accumulate;
  if (sparse) group(task);
  architecture_.update(backend_, task, sparse);
  // The next micro-batch overwrites what others may still read.
  timed("exchange", [&] { exchange_.fence(); });
  return sparse;
}

// Where one rank's step is one sequence of operations that no answer of the device decides. There are as many
// kinds of it as places where the batch lies, with and without statistics, with and without dead latents.
void Step::run_recorded(const View& x, const StepInput& input, StepResult& result) {
  result.signals = {input.signals};
  const bool finds_dead = may_find_dead();
  uses_aux_ = plan_.aux_slots > 0 && finds_dead;
  const auto kind = reinterpret_cast<uintptr_t>(x.data) | (input.log ? 1U : 0U) | (finds_dead ? 2U : 0U);
  backend_.run_recorded(kind, [&] {
    clear_sums(input.log);
    find_dead();
    // Nobody else has a part of these codes: they are grouped beside the decoding.
    forward(x, true, [this] { group(latent_task()); });
    if (input.log)
      backend_.data_moments(x, block_slice(data_moments_, state_.share.first_row, state_.share.last_row));
    sum_batch(input);
    update(true, true);
  });
}

StepResult Step::run(BatchLoader& loader, const StepInput& input) {
  exchange_.check();
  StepResult result;
  write_scalars(input);
  if (records_) {
    run_recorded(next_batch(loader), input, result);
  } else {
    clear_sums(input.log);
    uses_aux_ = find_dead() && plan_.aux_slots > 0;
    bool sparse = true;
    for (int64_t micro = 0; micro < config_.train.batch_size / plan_.micro_batch_size; ++micro)
      sparse = run_micro_batch(next_batch(loader), input, result);
    update(sparse);
  }
  result.step = ++state_.step;
  if (!backend_.is_asynchronous() || input.log || architecture_.may_overflow()) {
    read_result(input, result);
    check_finite(result.mse);
    state_.previous_l0 = result.l0;
  }
  return result;
}

}  // namespace saemill
