#include <cstring>

#include "common/plan/tiles.h"
#include "engine/backend/cuda/counters.h"
#include "engine/backend/cuda/cuda_backend_impl.h"
#include "engine/backend/cuda/decode.h"

namespace saemill {

template <typename Low>
CudaBackendImpl<Low>::CudaBackendImpl(int64_t d_in, int64_t d_sae)
    : n_(d_in), latents_(d_sae), chunk_(latent_chunk(d_sae)) {}

template <typename Low>
std::string CudaBackendImpl<Low>::name() const {
  const gpu::Device& device = gpu::devices().at(static_cast<size_t>(gpu::current_device()));
  return fmt::format("cuda {} (sm_{}{}), {} by cuBLASLt", device.name, device.capability_major,
                     device.capability_minor, low() == DType::f32 ? "TF32" : "BF16");
}

template <typename Low>
int64_t CudaBackendImpl<Low>::packed_chunk_bytes() const {
  return chunk_ * n_ * static_cast<int64_t>(sizeof(Low));
}

template <typename Low>
void CudaBackendImpl<Low>::join() {
  grouping_.join(compute_);
  summing_.join(compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::reserve(const WorkExtent& extent) {
  join();
  compute_.synchronize();
  gemm_.reset();
  scratch_.reset();
  scratch_.emplace(extent);
  stage_.reserve(static_cast<size_t>(scratch_->bytes.staged / 2));
  gemm_.emplace(scratch_->gemm.data(), scratch_->gemm.bytes());
}

template <typename Low>
CudaScratch& CudaBackendImpl<Low>::scratch(int64_t rows) {
  ensure(scratch_.has_value() && rows <= scratch_->extent.batch,
         "the backend has reserved less than it is asked for");
  return *scratch_;
}

template <typename Low>
std::byte* CudaBackendImpl<Low>::allocate(size_t bytes) {
  device_.emplace_back(std::max<size_t>(bytes, 256));
  gpu::fill(device_.back().data(), 0, device_.back().bytes(), compute_);
  return device_.back().data();
}

template <typename Low>
std::byte* CudaBackendImpl<Low>::allocate_host(size_t bytes) {
  host_.emplace_back(std::max<size_t>(bytes, 256));
  std::memset(host_.back().data(), 0, host_.back().bytes());
  return host_.back().data();
}

template <typename Low>
void CudaBackendImpl<Low>::release() {
  join();
  compute_.synchronize();
  graphs_.clear();
  gemm_.reset();
  scratch_.reset();
  stage_.release();
  device_.clear();
  host_.clear();
}

template <typename Low>
void CudaBackendImpl<Low>::read(void* to, const void* from, size_t bytes) {
  join();
  if (bytes > 0) gpu::copy_and_wait(to, from, bytes, compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::write(void* to, const void* from, size_t bytes) {
  join();
  if (bytes > 0) gpu::copy_and_wait(to, from, bytes, compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::write_soon(void* to, const void* from, size_t bytes) {
  mailbox_.send(to, from, bytes, compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::zero(const View& view) {
  join();
  if (view && view.bytes() > 0) gpu::fill(view.data, 0, view.bytes(), compute_);
}

template <typename Low>
View CudaBackendImpl<Low>::stage(const View& x) {
  if (x.rows == 0) return x;  // more ranks than tiles of the batch
  View staged = x;
  staged.data = stage_.copy(x.data, x.bytes(), compute_);
  return staged;
}

// A kind's first run also loads the kernels and chooses the GEMMs, which recording could not.
template <typename Low>
void CudaBackendImpl<Low>::run_recorded(uint64_t kind, const std::function<void()>& enqueue) {
  if (measure_ || !was_run_[kind]) {
    was_run_[kind] = true;
    return enqueue();
  }
  gpu::Graph& graph = graphs_[kind];
  if (!graph) graph = gpu::Graph(compute_, enqueue);
  graph.launch(compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::begin_phase(const char* phase) {
  if (!measure_) return;
  measured_.emplace_back().name = phase;
  measured_.back().begin.record(compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::end_phase(const char*) {
  if (measure_) measured_.back().end.record(compute_);
}

template <typename Low>
std::map<std::string, double> CudaBackendImpl<Low>::take_phases() {
  if (!measured_.empty()) compute_.synchronize();
  for (const Phase& phase : measured_) phases_[phase.name] += gpu::elapsed_ms(phase.begin, phase.end);
  measured_.clear();
  return std::exchange(phases_, {});
}

template <typename Low>
void CudaBackendImpl<Low>::do_center(const View& x, const View& b_dec, const View& centered) {
  join();  // what the batch before has left is overwritten from here on
  gpu::center(x.as<float>(), b_dec.as<float>(), x.rows, centered.rows, n_, centered.as<Low>(), compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::do_pack(const SaeViews& sae, const PackedViews& packed, int64_t first,
                                   int64_t last) {
  for (const auto& [weights, copy] : {std::pair{sae.W_enc, packed.encoder}, {sae.W_dec, packed.decoder}})
    if (copy && copy.data != weights.data)
      gpu::pack(weights.template row<float>(first), (last - first) * n_, low_of(copy) + first * n_, compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::do_find_dead(const View& last_fired, const StepScalars* scalars,
                                        int64_t dead_after, const View& dead, const View& sums) {
  int64_t* count = scratch(0).dead_count;
  gpu::mark_dead(last_fired.as<int64_t>(), last_fired.cols, &scalars->seen, dead_after,
                 reinterpret_cast<uint8_t*>(dead.data), count, compute_);
  gpu::store_count(count, sums.as<double>() + kDeadLatents, compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::encode(const View& centered, const std::byte* packed, int64_t rows, int64_t first,
                                  int64_t count, float* pre, int64_t ld) {
  const auto* weights = reinterpret_cast<const Low*>(packed) + first * n_;
  gemm_->run({rows, count, n_, gpu::GemmForm::nt, low(), false}, centered.data, weights, pre, ld, compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::do_select(const SelectTask& task) {
  zero(task.overflow);
  if (task.rows == 0) return;
  CudaScratch& own = scratch(task.rows);
  const int64_t latents = task.b_enc.cols;
  const gpu::SelectState state = gpu::make_select_state(own.select.data(), task.rows, task.codes.index.cols);
  gpu::SelectState aux;
  if (task.dead) aux = gpu::make_select_state(own.aux_select.data(), task.rows, task.aux.index.cols);
  for (int64_t first = 0; first < latents; first += own.chunk) {
    const int64_t count = std::min(own.chunk, latents - first);
    if (task.await) task.await(first + count);
    encode(task.centered, task.packed.data, task.rows, first, count, own.pre.as<float>(), own.chunk);
    gpu::SelectChunk chunk{own.pre.as<float>(),           own.chunk, task.rows, first, count,
                           task.b_enc.as<float>() + first};
    gpu::select_chunk(state, chunk, compute_);
    if (!task.dead) continue;
    chunk.dead = reinterpret_cast<const uint8_t*>(task.dead.data) + first;
    chunk.dead_count = own.dead_count;
    gpu::select_chunk(aux, chunk, compute_);
  }
  gpu::finish_select(state, task.rows, task.codes.index.as<int32_t>(), task.codes.value.as<float>(),
                     task.overflow ? task.overflow.as<int32_t>() : nullptr, compute_);
  if (task.dead)
    gpu::finish_select(aux, task.rows, task.aux.index.as<int32_t>(), task.aux.value.as<float>(), nullptr,
                       compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::do_decode(const DecodeTask& task) {
  if (task.x.rows == 0) return;
  const auto codes_of = [](const Codes& codes) {
    return gpu::DecodeCodes{codes.index.as<int32_t>(), codes.value.as<float>(), codes.grad.as<float>(),
                            codes.index.cols};
  };
  gpu::DecodeArguments<Low> arguments;
  arguments.x = task.x.as<float>();
  arguments.b_dec = task.sae.b_dec.as<float>();
  arguments.decoder = low_of(task.packed);
  arguments.rows = task.x.rows;
  arguments.n = n_;
  arguments.codes = codes_of(task.codes);
  arguments.scale = static_cast<float>(task.scale);
  arguments.step = task.scalars;
  arguments.residual = task.residual.as<Low>();
  arguments.row_stats = task.row_stats.as<double>();
  if (task.aux.index) {
    arguments.aux = codes_of(task.aux);
    arguments.aux_latents = scratch(0).dead_count;
    arguments.aux_scale = static_cast<float>(task.scale * task.aux_coefficient);
    arguments.aux_residual = task.aux_residual.as<Low>();
  }
  gpu::decode(arguments, compute_);
  gpu::residual_block_sums(task.residual.as<Low>(), task.x.rows, n_, task.block_sums.as<float>(), compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::do_data_moments(const View& x, const View& out) {
  gpu::data_moments(x.as<float>(), x.rows, n_, out.as<double>(), compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::do_sum_batch(const SumTask& task) {
  gpu::add_batch_sums({task.row_stats.as<double>(), task.block_sums.as<float>(),
                       task.data_moments ? task.data_moments.as<double>() : nullptr, task.row_stats.rows, n_},
                      {task.sums.as<double>(), task.bias.as<double>(),
                       task.data_moments ? task.moments.as<double>() : nullptr},
                      beside(summing_));
}

template <typename Low>
void CudaBackendImpl<Low>::do_finish_gradient(const GradientTask& task) {
  summing_.join(compute_);
  gpu::finish_gradients({task.block_sums.as<float>(), task.block_norms.as<double>(), task.block_sums.rows, n_,
                         task.clip_norm, task.grad_b_dec.as<float>()},
                        {task.sums.as<double>(), task.bias.as<double>(), nullptr}, compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::do_adam(const View& param, const View& grad, const View& m, const View& v,
                                   const StepScalars* scalars, const double* clip_factor) {
  gpu::AdamConstants* constants = scratch(0).adam;
  gpu::prepare_adam(scalars, clip_factor, constants, compute_);
  gpu::adam_vector(param.as<float>(), grad.as<float>(), m.as<float>(), v.as<float>(), param.cols, constants,
                   compute_);
}

template class CudaBackendImpl<float>;
template class CudaBackendImpl<BFloat16>;

CudaBackend make_cuda_backend(int64_t d_in, int64_t d_sae, DType low) {
  const auto wrap = [](auto backend) {
    const gpu::Stream* compute = &backend->compute();
    return CudaBackend{std::move(backend), compute};
  };
  if (low == DType::f32) return wrap(std::make_unique<CudaBackendImpl<float>>(d_in, d_sae));
  return wrap(std::make_unique<CudaBackendImpl<BFloat16>>(d_in, d_sae));
}

}  // namespace saemill
