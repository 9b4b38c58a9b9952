// The dense path: GEMMs by chunks of latents, forward and backward, with what dense.h does between them.
#include "common/plan/tiles.h"
#include "engine/backend/cuda/cuda_backend_impl.h"
#include "engine/backend/cuda/decode.h"
#include "engine/backend/cuda/dense.h"

namespace saemill {
namespace {

// Cuts a region of memory.
class Region {
 public:
  explicit Region(const gpu::Memory& memory) : next_(memory.data()), left_(memory.bytes()) {}
  template <typename T>
  T* take(int64_t count) {
    const auto bytes = static_cast<size_t>(round_up(count * static_cast<int64_t>(sizeof(T)), 256));
    ensure(bytes <= left_, "the plan has less memory than the dense path needs");
    auto* part = reinterpret_cast<T*>(next_);
    next_ += bytes;
    left_ -= bytes;
    return part;
  }
  size_t left() const { return left_; }
  void* rest() const { return next_; }

 private:
  std::byte* next_;
  size_t left_;
};

}  // namespace

template <typename Low>
void CudaBackendImpl<Low>::do_dense_forward(const DenseForwardTask& task) {
  if (task.x.rows == 0) return;
  CudaScratch& own = scratch(task.x.rows);
  const int64_t rows = task.x.rows, latents = task.sae.W_enc.rows;
  auto* pre = own.pre.as<float>();
  Region region(own.dense);
  Low* z = region.take<Low>(rows * std::min(own.chunk, latents));
  auto* decoded = region.take<float>(rows * n_);
  for (int64_t first = 0; first < latents; first += own.chunk) {
    const int64_t count = std::min(own.chunk, latents - first);
    encode(task.centered, task.packed.encoder.data, rows, first, count, pre, count);
    gpu::dense_activate({rows, rows, count, count, pre, task.sae.b_enc.as<float>() + first}, first == 0, z,
                        task.row_stats.as<double>(), compute_);
    gemm_->run({rows, n_, count, gpu::GemmForm::nn, low(), first > 0}, z,
               low_of(task.packed.decoder) + first * n_, decoded, n_, compute_);
  }
  gpu::dense_error<Low>(
      {rows, n_, task.x.as<float>(), decoded, task.sae.b_dec.as<float>(), static_cast<float>(task.scale),
       task.residual.as<Low>(), task.row_stats.as<double>()},
      compute_);
  gpu::residual_block_sums(task.residual.as<Low>(), rows, n_, task.block_sums.as<float>(), compute_);
}

// Adds the batch's gradient of latents [first, first + count) to enc, dec and bias.
template <typename Low>
void CudaBackendImpl<Low>::add_dense_gradient(const LatentTask& task, int64_t first, int64_t count,
                                              const gpu::LatentParameters& gradient, void* scratch_memory,
                                              const DenseParts<Low>& parts) {
  const int64_t rows = task.rows;
  encode(task.centered, task.packed.encoder.data, rows, first, count, parts.pre, count);
  encode(task.residual, task.packed.decoder.data, rows, first, count, parts.dz, count);
  gpu::DenseGradient<Low> arguments;
  arguments.chunk = {rows, rows, count, count, parts.pre, task.sae.b_enc.as<float>() + first};
  arguments.dz = parts.dz;
  arguments.step = task.scalars;
  arguments.z = parts.z;
  arguments.g = parts.g;
  arguments.grad_b_enc = gradient.b_enc;
  if (task.last_fired) arguments.last_fired = task.last_fired.as<int64_t>() + first;
  gpu::dense_gradient(arguments, scratch_memory, compute_);
  const gpu::GemmShape shape{count, n_, rows, gpu::GemmForm::tn, low(), true};
  gemm_->run(shape, parts.z, task.residual.data, gradient.W_dec, n_, compute_);
  gemm_->run(shape, parts.g, task.centered.data, gradient.W_enc, n_, compute_);
}

template <typename Low>
void CudaBackendImpl<Low>::do_update_latents_dense(const LatentTask& task) {
  if (task.last == task.first) return;
  if (!task.add_batch) return do_update_latents(task);
  CudaScratch& own = scratch(task.rows);
  const int64_t step = gpu_chunk(latents_, own.extent.batch), most = std::min(step, task.last - task.first);
  Region region(own.dense);
  const DenseParts<Low> parts{region.take<float>(task.rows * most), region.take<float>(task.rows * most),
                              region.take<Low>(task.rows * most), region.take<Low>(task.rows * most)};
  const gpu::LatentParameters chunk_gradient{region.take<float>(most * n_), region.take<float>(most * n_),
                                             region.take<float>(most)};
  ensure(gpu::dense_scratch_bytes(task.rows, most) <= region.left(),
         "the plan has less memory than dense_gradient");
  gpu::LatentArguments<Low> arguments = latent_arguments(task);
  for (int64_t first = task.first; first < task.last; first += step) {
    const int64_t count = std::min(step, task.last - first), at = first - task.first;
    gpu::LatentParameters stored;
    if (task.grad_W_enc)
      stored = {task.grad_W_enc.row<float>(at), task.grad_W_dec.row<float>(at),
                task.grad_b_enc.as<float>() + at};
    if (task.pass == LatentPass::accumulate) {  // in place
      add_dense_gradient(task, first, count, stored, region.rest(), parts);
      continue;
    }
    start_gradient(chunk_gradient.W_enc, stored.W_enc, count * n_);
    start_gradient(chunk_gradient.W_dec, stored.W_dec, count * n_);
    start_gradient(chunk_gradient.b_enc, stored.b_enc, count);
    add_dense_gradient(task, first, count, chunk_gradient, region.rest(), parts);
    arguments.first = first;
    arguments.last = first + count;
    arguments.stored = chunk_gradient;
    gpu::update_latents(arguments, own.latents.data(), compute_);
  }
}

// From what micro-batches have stored, or from zero.
template <typename Low>
void CudaBackendImpl<Low>::start_gradient(float* gradient, const float* stored, int64_t count) {
  const auto bytes = static_cast<size_t>(count) * sizeof(float);
  if (stored != nullptr)
    gpu::copy(gradient, stored, bytes, compute_);
  else
    gpu::fill(gradient, 0, bytes, compute_);
}

template class CudaBackendImpl<float>;
template class CudaBackendImpl<BFloat16>;

}  // namespace saemill
