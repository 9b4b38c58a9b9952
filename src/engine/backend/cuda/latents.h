// One pass over latent rows: gradients from the code, projection, Adam, unit norm and the low copies
// (Backend::update_latents on a GPU). All pointers are device memory; everything is enqueued on the stream
// and nothing waits or allocates. Low is float or BFloat16. Matrices are row-major without gaps, aligned to
// 16 bytes; of all latents where their name has no other range.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/backend/cuda/group.h"
#include "engine/backend/cuda/sums.h"
#include "engine/backend/step_scalars.h"
#include "engine/gpu/runtime.h"
#include "engine/tensor/view.h"

namespace saemill::gpu {

enum class RowPass {
  accumulate,  // gradients are written to the stored ones
  norm,        // block sums and block norms only
  apply,       // these, and weights, moments and low copies
};

// Slots of the batch by latent; no offsets: no such code.
struct LatentCodes {
  const float* value = nullptr;  // [rows, slots]
  const float* grad = nullptr;   // [rows, slots]
  int32_t slots = 0;             // of a row
  LatentGroups groups{};         // of [first, last); made by group_by_latent
  int64_t pieces = 0;            // max_pieces(rows * slots)
};

struct LatentParameters {
  float* W_enc = nullptr;
  float* W_dec = nullptr;
  float* b_enc = nullptr;
};

template <typename Low>
struct LatentArguments {
  RowPass pass = RowPass::apply;
  int64_t first = 0, last = 0;  // latents; first is a multiple of kBlock, last too or the number of latents
  int64_t n = 0;
  LatentCodes codes{}, aux{};         // none: the gradient is the stored one
  const Low* centered = nullptr;      // [rows, n]
  const Low* residual = nullptr;      // [rows, n]
  const Low* aux_residual = nullptr;  // [rows, n]
  LatentParameters stored{};          // gradients of [first, last), added to; null: none
  LatentParameters weights{}, m{}, v{};
  Low* low_encoder = nullptr;  // copies; null, or the weights themselves: not written
  Low* low_decoder = nullptr;
  bool unit_norm = true;
  const AdamConstants* adam = nullptr;  // for apply, from prepare_adam; with the clip factor
  const StepScalars* step = nullptr;    // now
  int64_t* last_fired = nullptr;        // set to step->now where codes has an active slot; null: left alone
  float* block_sums = nullptr;    // out, [ceil(M / kBlock), n]: sums of grad_b_enc[j] * W_enc[j], before the
                                  // update; null: not wanted
  double* block_norms = nullptr;  // out, [ceil(M / kBlock)]: squares of gradients after projection, before
                                  // clipping; null: not wanted
};

// Scratch of update_latents for so many latents (last - first) and pieces (0 where there is no such code);
// aligned to 256.
size_t latent_scratch_bytes(int64_t latents, int64_t n, int64_t pieces, int64_t aux_pieces);

// Fast where n is a multiple of 4; beyond 8192 columns slower, and beyond what a block's shared memory holds
// (4 bytes per column) Error{internal}.
template <typename Low>
void update_latents(const LatentArguments<Low>& arguments, void* scratch, const Stream& stream);

}  // namespace saemill::gpu
