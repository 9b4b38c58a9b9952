// Reconstruction, residual and the gradient of the code from gathered decoder rows: Backend::decode on a GPU.
// All pointers are device memory; everything is enqueued on the stream and nothing waits or allocates. Low is
// float or BFloat16. Matrices are row-major without gaps, aligned to 16 bytes.
#pragma once

#include <cstdint>

#include "engine/backend/step_scalars.h"
#include "engine/gpu/runtime.h"
#include "engine/tensor/view.h"

namespace saemill::gpu {

// Code slots [rows, slots]; a slot is active where value > 0, and active ones come first. No slots: no codes.
struct DecodeCodes {
  const int32_t* index = nullptr;
  const float* value = nullptr;
  float* grad = nullptr;  // out
  int64_t slots = 0;
};

template <typename Low>
struct DecodeArguments {
  const float* x = nullptr;      // [rows, n]
  const float* b_dec = nullptr;  // [n]
  const Low* decoder = nullptr;  // [M, n]
  int64_t rows = 0;
  int64_t n = 0;
  DecodeCodes codes{};
  DecodeCodes aux{};
  const int64_t* aux_latents = nullptr;  // where given and 0, as without aux: aux.grad and aux_residual stay
  float scale = 0;                       // 2 / B_global
  float aux_scale = 0;                   // scale * aux_coefficient
  const StepScalars* step = nullptr;     // l1
  Low* residual = nullptr;               // out, [rows, n]
  Low* aux_residual = nullptr;           // out, [rows, n]; null without aux
  double* row_stats = nullptr;           // out, [rows, kRowStats]
};

// Fast where n is a multiple of 16 / sizeof(Low). Error{internal} where the slots of a row do not fit a
// block's shared memory (8192 of codes and 8192 of aux always do).
template <typename Low>
void decode(const DecodeArguments<Low>& arguments, const Stream& stream);

// out f32 [ceil(rows / kBlock), n]: column sums of `residual` over blocks of kBlock rows.
template <typename Low>
void residual_block_sums(const Low* residual, int64_t rows, int64_t n, float* out, const Stream& stream);

}  // namespace saemill::gpu
