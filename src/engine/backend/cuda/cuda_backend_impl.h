// Private to this folder.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "engine/backend/cuda/beside.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/cuda_memory.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/latents.h"

namespace saemill {

// Of a chunk of latents, over the batch.
template <typename Low>
struct DenseParts {
  float *pre, *dz;
  Low *z, *g;
};

template <typename Low>
class CudaBackendImpl final : public Backend {
 public:
  CudaBackendImpl(int64_t d_in, int64_t d_sae);
  const gpu::Stream& compute() const { return compute_; }

  std::string name() const override;
  DType real() const override { return DType::f32; }
  DType low() const override { return dtype_of<Low>(); }
  int64_t packed_chunk_bytes() const override;
  bool is_asynchronous() const override { return true; }
  void reserve(const WorkExtent& extent) override;
  std::byte* allocate(size_t bytes) override;
  std::byte* allocate_host(size_t bytes) override;
  void release() override;
  void read(void* to, const void* from, size_t bytes) override;
  void write(void* to, const void* from, size_t bytes) override;
  void write_soon(void* to, const void* from, size_t bytes) override;
  void zero(const View& view) override;
  View stage(const View& x) override;
  void measure_phases(bool on) override { measure_ = on; }
  std::map<std::string, double> take_phases() override;
  void run_recorded(uint64_t kind, const std::function<void()>& enqueue) override;
  int64_t recordings() const override { return static_cast<int64_t>(graphs_.size()); }

 protected:
  void do_center(const View& x, const View& b_dec, const View& centered) override;
  void do_pack(const SaeViews& sae, const PackedViews& packed, int64_t first, int64_t last) override;
  void do_find_dead(const View& last_fired, const StepScalars* scalars, int64_t dead_after, const View& dead,
                    const View& sums) override;
  void do_select(const SelectTask& task) override;
  void do_decode(const DecodeTask& task) override;
  void do_group_by_latent(const Codes& codes, int64_t first, int64_t last, const LatentIndex& out) override;
  void do_dense_forward(const DenseForwardTask& task) override;
  void do_update_latents(const LatentTask& task) override;
  void do_update_latents_dense(const LatentTask& task) override;
  void do_data_moments(const View& x, const View& out) override;
  void do_sum_batch(const SumTask& task) override;
  void do_finish_gradient(const GradientTask& task) override;
  void do_adam(const View& param, const View& grad, const View& m, const View& v, const StepScalars* scalars,
               const double* clip_factor) override;
  void begin_phase(const char* phase) override;
  void end_phase(const char* phase) override;

 private:
  struct Phase {
    const char* name;
    gpu::Event begin{gpu::Event::Timing::on}, end{gpu::Event::Timing::on};
  };
  CudaScratch& scratch(int64_t rows);
  const gpu::Stream& beside(Beside& work) { return measure_ ? compute_ : work.begin(compute_); }
  void join();
  // Where the pieces of this index's long segments are kept: there is room for two indices at a time.
  bool piece_set(const View& offsets);
  gpu::LatentCodes grouped(const Codes& codes, const LatentIndex& index);
  gpu::LatentArguments<Low> latent_arguments(const LatentTask& task);
  void encode(const View& centered, const std::byte* packed, int64_t rows, int64_t first, int64_t count,
              float* pre, int64_t ld);

  void add_dense_gradient(const LatentTask& task, int64_t first, int64_t count,
                          const gpu::LatentParameters& gradient, void* scratch_memory,
                          const DenseParts<Low>& parts);
  void start_gradient(float* gradient, const float* stored, int64_t count);

  static Low* low_of(const View& view) { return reinterpret_cast<Low*>(view.data); }

  int64_t n_, latents_, chunk_;
  gpu::Stream compute_;
  Beside grouping_, summing_;  // not used while phases are measured
  std::vector<gpu::Memory> device_;
  std::vector<gpu::PinnedMemory> host_;
  Mailbox mailbox_;
  Stage stage_;
  std::optional<CudaScratch> scratch_;
  std::optional<gpu::GemmEngine> gemm_;
  std::array<const std::byte*, 2> grouped_{};  // offsets of the indices that have pieces
  bool measure_ = false;
  std::deque<Phase> measured_;
  std::map<uint64_t, gpu::Graph> graphs_;
  std::map<uint64_t, bool> was_run_;
};

}  // namespace saemill
