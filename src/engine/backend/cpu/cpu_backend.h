// The fast backend for CPU cores: oneDNN for the GEMMs, kernels.h for the rest, OpenMP threads over whole
// tiles, blocks and chunks, so that no sum depends on the number of threads.
#pragma once

#include <cstring>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "common/plan/tiles.h"
#include "engine/backend/backend.h"
#include "engine/backend/cpu/gemm.h"
#include "engine/backend/cpu/kernels.h"

namespace saemill {

// The active slots of one latent, in batch order.
struct Segment {
  std::vector<int32_t> rows;
  std::vector<float> z, g;
  int64_t count = 0;
};

// What one thread needs. Grown on first use, then kept.
struct ThreadScratch {
  std::vector<float> tile, tile2, row, row2, row3, grad_enc, grad_dec;
  std::vector<std::byte> low, low2, gemm;
  std::vector<int32_t> candidate_index;
  std::vector<float> candidate_value;
  std::vector<uint64_t> keys;
  Segment segment, aux_segment;
  std::vector<SelectState> states;
  std::vector<uint8_t> fired;
};

// Bias corrections included; once for a pass.
AdamConstants adam_constants(const StepScalars* scalars, const double* clip_factor);

template <typename T>
T* grow(std::vector<T>& vector, int64_t count) {
  if (vector.size() < static_cast<size_t>(count)) vector.resize(static_cast<size_t>(count));
  return vector.data();
}

// work(i, scratch) for i in [0, count), on the threads; the first exception is thrown again here.
template <typename Work>
void parallel_for(int64_t count, std::vector<ThreadScratch>& scratch, Work&& work) {
  std::exception_ptr error;
  std::mutex mutex;
  const int threads =
      static_cast<int>(std::min<int64_t>(static_cast<int64_t>(scratch.size()), std::max<int64_t>(count, 1)));
  int64_t next = 0;
#pragma omp parallel num_threads(threads)
  {
    int64_t worker;
#pragma omp atomic capture
    worker = next++;
    ThreadScratch& mine = scratch[static_cast<size_t>(worker)];
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < count; ++i) {
      try {
        work(i, mine);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
    }
  }
  if (error) std::rethrow_exception(error);
}

template <typename Low>
class CpuBackend final : public Backend {
 public:
  CpuBackend(int64_t d_in, int64_t d_sae, int threads, const Kernels& kernels);
  std::string name() const override;
  DType real() const override { return DType::f32; }
  DType low() const override { return dtype_of<Low>(); }
  int64_t packed_chunk_bytes() const override;
  void reserve(const WorkExtent& extent) override;

 protected:
  void do_center(const View& x, const View& b_dec, const View& centered) override;
  void do_pack(const SaeViews& sae, const PackedViews& packed, int64_t first, int64_t last) override;
  void do_select(const SelectTask& task) override;
  void do_decode(const DecodeTask& task) override;
  void do_group_by_latent(const Codes& codes, int64_t first, int64_t last, const LatentIndex& out) override;
  void do_dense_forward(const DenseForwardTask& task) override;
  void do_update_latents(const LatentTask& task) override;
  void do_update_latents_dense(const LatentTask& task) override;
  void do_data_moments(const View& x, const View& out) override;
  void do_adam(const View& param, const View& grad, const View& m, const View& v, const StepScalars* scalars,
               const double* clip_factor) override;

 private:
  struct DenseGemms {  // made when the dense path is first taken
    Gemm decode, gradient;
  };
  int64_t select_groups(int64_t tiles) const;
  bool select_rows(const SelectTask& task, int64_t first_tile, int64_t last_tile, ThreadScratch& scratch);
  void decode_block(const DecodeTask& task, int64_t block, ThreadScratch& scratch);
  void dense_forward_tile(const DenseForwardTask& task, int64_t tile, ThreadScratch& scratch);
  static void gather_segment(const Codes& codes, const LatentIndex& by_latent, int64_t latent,
                             Segment& segment);
  // Adds the gradients of latent task.first + latent from the codes; returns that of the encoder bias, from
  // `bias` on.
  float add_code_gradient(const LatentTask& task, int64_t latent, float* enc, float* dec, float bias,
                          ThreadScratch& scratch) const;
  void dense_chunk_gradient(const LatentTask& task, int64_t chunk, float* enc, float* dec, float* bias,
                            ThreadScratch& scratch);
  void pack_chunk(const SaeViews& sae, const PackedViews& packed, int64_t chunk, ThreadScratch& scratch);
  void clear_blocks(const LatentTask& task, int64_t first, int64_t last) const;
  // Everything after the gradient of latent j is known.
  void finish_latent(const LatentTask& task, const AdamConstants& adam, int64_t j, float* enc, float* dec,
                     float bias) const;
  const DenseGemms& dense();

  const Low* packed_chunk(const View& packed, int64_t chunk) const {
    return reinterpret_cast<const Low*>(packed.data + chunk * packed.cols);
  }
  std::pair<int64_t, int64_t> chunk_range(int64_t chunk, int64_t latents) const {
    return {chunk * chunk_, std::min(latents, (chunk + 1) * chunk_)};
  }

  int64_t n_, chunk_;
  const Kernels& kernels_;
  const LowKernels<Low>& low_;
  Gemm encode_;
  std::unique_ptr<DenseGemms> dense_;
  std::vector<ThreadScratch> scratch_;
};

}  // namespace saemill
