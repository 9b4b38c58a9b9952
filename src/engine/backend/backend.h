// The hardware contract: what one training step asks of a device. Backends: reference (plain loops in double,
// the specification), cpu, cuda. Public functions check shapes and types (backend.cpp) and call the virtual
// ones.
//
// Views and the pointers in tasks are memory of the backend, which only its functions touch; where
// is_asynchronous(), calls enqueue and their results are there after read(). The rest of the time memory is
// this process's own.
//
// Shapes: B activations in the (micro-)batch, R of them given here, n = d_in, M = d_sae, k code slots per
// activation. Types: `real` is f32 (f64 in reference); `low` is the type GEMM operands have: f32 or bf16 (f64
// in reference). All memory is the caller's. Rows of low matrices that enter a GEMM are padded to kRowTile;
// padding is zero. Not thread-safe: one step at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/plan/gpu_scratch.h"
#include "engine/backend/step_scalars.h"
#include "engine/tensor/view.h"

namespace saemill {

// The sparse code of R activations: slot s of row r holds latent index(r, s), its pre-activation value(r, s)
// and the loss gradient grad(r, s) of the latter. A slot is active where value > 0. Slots are in ascending
// latent order; unused ones (value 0, index 0) come last.
struct Codes {
  View index;  // i32 [R, k]
  View value;  // real [R, k]
  View grad;   // real [R, k]
};

struct SaeViews {
  View W_enc, W_dec;  // real [M, n]
  View b_enc;         // real [1, M]
  View b_dec;         // real [1, n]
};

// GEMM operands in the backend's own layout, one block of packed_chunk_bytes() for each chunk of latents.
struct PackedViews {
  View encoder;             // n -> latents
  View decoder;             // latents -> n; dense path only
  View decoder_transposed;  // n -> latents; dense path only
};

struct SelectTask {
  View centered{};  // low [R padded, n]
  int64_t rows = 0;
  View packed{};  // of the encoder
  View b_enc{};   // real [1, M]
  Codes codes{};  // out, [R, k]
  View dead{};    // as find_dead left it; null: no auxiliary codes
  Codes aux{};    // out, [R, aux_k]; empty views where dead is
  // Where given: called before latents up to this one are read, which may still be on their way.
  std::function<void(int64_t last)> await = {};
  View overflow{};  // out, i32 [1, 1]: 1 where some row has more than k positive ones, so that codes leaves
                    // out active latents; else 0. Null: not wanted
};

struct DecodeTask {
  View x{};  // real [R, n]
  SaeViews sae{};
  View packed{};     // of the decoder; null where the backend wants none
  Codes codes{};     // grad is written
  Codes aux{};       // empty views: no auxiliary loss
  double scale = 0;  // 2 / B_global: gradient of the mean squared error
  double aux_coefficient = 0;
  const StepScalars* scalars = nullptr;
  View residual{};      // out, low [R, n]: scale * (x_hat - x)
  View aux_residual{};  // out, low [R, n]: scale * aux_coefficient * (aux_hat - (x - x_hat))
  View row_stats{};     // out, f64 [R, kRowStats]
  View block_sums{};    // out, real [ceil(R / 64), n]: column sums of residual
};

// Dense forward for a code that is not sparse (ReLU).
struct DenseForwardTask {
  View x{};         // real [R, n]
  View centered{};  // low [R padded, n]
  SaeViews sae{};
  PackedViews packed{};
  double scale = 0;
  View residual{}, row_stats{}, block_sums{};  // out, as in DecodeTask
};

// Active code slots by latent (compressed sparse columns): slots of latent first + i are
// positions[offsets[i], offsets[i + 1]), each row * k + slot, in batch order.
struct LatentIndex {
  View offsets;    // i64 [1, latents + 1]
  View positions;  // i32 [1, capacity]
};

enum class LatentPass {
  accumulate,  // add this micro-batch's gradient to grad_*
  norm,        // block_norms only
  apply,       // update weights, moments, packed copies
};

// One pass over the latent rows [first, last): gradients of both matrices and the encoder bias, removal of
// the gradient's part parallel to the decoder row, Adam, unit norm, packed copies.
struct LatentTask {
  LatentPass pass = LatentPass::apply;
  int64_t first = 0, last = 0;  // whole chunks (the last one may be short)
  int64_t rows = 0;             // B
  SaeViews sae{};
  SaeViews m{}, v{};  // moments; b_dec unused
  PackedViews packed{};
  View centered{}, residual{}, aux_residual{};  // low [B, n]
  Codes codes{}, aux{};                         // [B, k], [B, aux_k]
  LatentIndex by_latent{}, aux_by_latent{};     // of [first, last); unused by the dense path
  View grad_W_enc{}, grad_W_dec{};  // real [last - first, n], empty unless gradients are accumulated
  View grad_b_enc{};                // real [1, last - first]
  bool add_batch = true;            // false: the gradient is grad_* alone
  bool unit_norm = true;
  const StepScalars* scalars = nullptr;
  const double* clip_factor = nullptr;  // gradients are multiplied by it; null: by 1
  View last_fired{};   // i64 [1, M]; null view: not written. Set to `now` where an entry of codes is active
  View block_sums{};   // out, real [ceil(M / 64), n]: sum of grad_b_enc * W_enc row, before the update
  View block_norms{};  // out, f64 [1, ceil(M / 64)]: squared gradients after projection, before clipping
};

// The gathered batch, added up in index order.
struct SumTask {
  View row_stats{};     // f64 [B, kRowStats]
  View block_sums{};    // real [ceil(B / 64), n]
  View data_moments{};  // f64 [ceil(B / 64), n + 1]; null: not wanted
  View sums{};          // f64 [1, kStepSums]: the row statistics are added to its beginning
  View bias{};          // f64 [1, n]: block_sums are added
  View moments{};       // f64 [1, n + 1]: data_moments are added
};

// The gradient of b_dec, and the norm of all:
//   sum_b r_b - sum_j (gradient of b_enc)_j W_enc_j, the second because the encoder sees x - b_dec.
struct GradientTask {
  View bias{};         // f64 [1, n]: sum_b r_b
  View block_sums{};   // real [ceil(M / 64), n], of the latent pass
  View block_norms{};  // f64 [1, ceil(M / 64)]
  double clip_norm = 0;
  View grad_b_dec{};  // out, real [1, n]
  View sums{};        // out: kGradientSquares; kClipFactor = min(1, clip_norm / norm), 1 where clip_norm is 0
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;  // "cpu avx512, bf16 by oneDNN brg:avx512_core_bf16"
  virtual DType real() const = 0;
  virtual DType low() const = 0;
  virtual int64_t packed_chunk_bytes() const = 0;
  virtual bool is_asynchronous() const { return false; }

  // Takes now what steps of this extent will need, so that a run holds all of its memory from the start. On
  // CPUs the memory is taken at the first call where this was left out.
  virtual void reserve(const WorkExtent& /*extent*/) {}

  // Zeroed memory that lives as long as the backend: of the device, and of the host where the device reads
  // fastest. Null: the backend works on any memory of this process. Error{retry} where there is no room.
  virtual std::byte* allocate(size_t /*bytes*/) { return nullptr; }
  virtual std::byte* allocate_host(size_t /*bytes*/) { return nullptr; }

  // Frees all of that, and what was reserved; nothing is asked of the backend afterwards.
  virtual void release() {}

  // Between this process's memory and the backend's, after all that was asked before; returns when it is
  // done.
  virtual void read(void* to, const void* from, size_t bytes);
  virtual void write(void* to, const void* from, size_t bytes);
  // Like write, but may return before it is done: `from` is copied first.
  virtual void write_soon(void* to, const void* from, size_t bytes) { write(to, from, bytes); }
  virtual void zero(const View& view);
  // A batch that the loader has filled, as the backend's memory: the same where it can be, else copied, at
  // the latest when this returns. Valid until the next but one call.
  virtual View stage(const View& x) { return x; }

  // centered = low(x - b_dec); rows after R up to the padded end are zeroed.
  void center(const View& x, const View& b_dec, const View& centered);
  // Packs chunks of rows [first, last) of sae.W_enc (and W_dec where packed has it).
  void pack(const SaeViews& sae, const PackedViews& packed, int64_t first, int64_t last);
  // Latents j with seen - last_fired[j] >= dead_after. `dead` is i32 [1, M], in the backend's own form; their
  // number goes to sums[kDeadLatents].
  void find_dead(const View& last_fired, const StepScalars* scalars, int64_t dead_after, const View& dead,
                 const View& sums);
  // The k largest positive pre-activations of each row: value descending, lower latent first on ties; exact.
  // Where `dead` is given, the same among these for `aux`. codes.grad is untouched.
  void select(const SelectTask& task);
  void decode(const DecodeTask& task);
  // Reads indices and values. Where asynchronous it may run beside what is called after it, up to
  // update_latents.
  void group_by_latent(const Codes& codes, int64_t first, int64_t last, const LatentIndex& out);
  void dense_forward(const DenseForwardTask& task);
  void update_latents(const LatentTask& task);        // gradients from codes
  void update_latents_dense(const LatentTask& task);  // gradients by recomputing the dense code
  // f64 [ceil(R / 64), n + 1]: column sums of x, and last the sum of squares.
  void data_moments(const View& x, const View& out);
  void sum_batch(const SumTask& task);
  void finish_gradient(const GradientTask& task);
  // One vector parameter, e.g. b_dec: param, grad, m, v real [1, n].
  void adam(const View& param, const View& grad, const View& m, const View& v, const StepScalars* scalars,
            const double* clip_factor);

  // Runs `enqueue`, which asks for the same work on the same memory whenever `kind` is the same: a backend
  // may record it and start the recording from then on. Nothing in it waits.
  virtual void run_recorded(uint64_t /*kind*/, const std::function<void()>& enqueue) { enqueue(); }
  virtual int64_t recordings() const { return 0; }  // made so far

  // Asynchronous backends time operations, and then record nothing, only after measure_phases(true).
  virtual void measure_phases(bool /*on*/) {}
  // Milliseconds by operation, summed since the last call.
  virtual std::map<std::string, double> take_phases();

 protected:
  virtual void do_center(const View& x, const View& b_dec, const View& centered) = 0;
  virtual void do_pack(const SaeViews& sae, const PackedViews& packed, int64_t first, int64_t last) = 0;
  virtual void do_find_dead(const View& last_fired, const StepScalars* scalars, int64_t dead_after,
                            const View& dead, const View& sums);
  virtual void do_select(const SelectTask& task) = 0;
  virtual void do_decode(const DecodeTask& task) = 0;
  virtual void do_group_by_latent(const Codes& codes, int64_t first, int64_t last,
                                  const LatentIndex& out) = 0;
  virtual void do_dense_forward(const DenseForwardTask& task) = 0;
  virtual void do_update_latents(const LatentTask& task) = 0;
  virtual void do_update_latents_dense(const LatentTask& task) = 0;
  virtual void do_data_moments(const View& x, const View& out) = 0;
  virtual void do_sum_batch(const SumTask& task);
  virtual void do_finish_gradient(const GradientTask& task);
  virtual void do_adam(const View& param, const View& grad, const View& m, const View& v,
                       const StepScalars* scalars, const double* clip_factor) = 0;
  // Around each operation; the default is a stopwatch of the host.
  virtual void begin_phase(const char* phase);
  virtual void end_phase(const char* phase);
  std::map<std::string, double> phases_;

 private:
  template <typename Work>
  void timed(const char* phase, Work&& work);
  double phase_start_ = 0;
};

// The dead latents as the backends of the host keep them: their number, then they, ascending.
struct DeadList {
  const int32_t* begin = nullptr;
  const int32_t* end = nullptr;
};
DeadList dead_list(const View& dead);  // empty where `dead` is null

// `d_in` and `d_sae` fix the GEMM shapes. low: f32 or bf16. isa: avx512 | avx2 | sse2 for the loops that are
// not GEMMs; empty: the best of this processor. Error{bad_config} for one that it does not have.
std::unique_ptr<Backend> make_cpu_backend(int64_t d_in, int64_t d_sae, DType low, int threads,
                                          const std::string& isa = "");
std::unique_ptr<Backend> make_reference_backend(int64_t d_in, int64_t d_sae);

}  // namespace saemill
