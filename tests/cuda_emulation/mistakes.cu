#include "mistakes.h"

#include "engine/gpu/launch.h"

namespace saemill::gpu::mistakes {
namespace {

constexpr int kThreads = 64;

__global__ void store_outside_kernel(float* out, int n) {
  out[n] = 1.0f;
}

__global__ void store_outside_shared_kernel(float* out) {
  SAEMILL_SHARED(float, tile, kThreads);
  float* next = tile + 1;
  next[threadIdx.x] = 1.0f;
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void read_outside_dynamic_kernel(float* out) {
  const float* tile = dynamic_shared<float>(0, kThreads + 1);
  out[threadIdx.x] = tile[threadIdx.x + 1];
}

__global__ void forget_barrier_kernel(const float* in, float* out) {
  SAEMILL_SHARED(float, tile, kThreads);
  tile[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}

__global__ void forget_to_write_kernel(float* out) {
  SAEMILL_SHARED(float, tile, kThreads);
  out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void diverge_kernel(float* out) {
  if (threadIdx.x < 32) __syncthreads();
  out[threadIdx.x] = 1.0f;
}

__global__ void meet_elsewhere_kernel(float* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1.0f;
}

__global__ void return_early_kernel(float* out) {
  if (threadIdx.x == 63) return;
  __syncthreads();
  out[threadIdx.x] = 1.0f;
}

__global__ void shuffle_with_absent_kernel(float* out) {
  float value = 1.0f;
  if (threadIdx.x < 16) value = __shfl_xor_sync(kAllLanes, value, 1);
  out[threadIdx.x] = value;
}

__global__ void shuffle_unnamed_kernel(float* out) {
  out[threadIdx.x] = __shfl_sync(0x0000fffeu, 1.0f, 1);
}

__global__ void read_misaligned_kernel(const float* in, float* out) {
  out[0] = load<4>(in + 1)[0];
}

__global__ void fill_shared_kernel() {
  SAEMILL_SHARED(float, tile, 15 * 1024);
  tile[0] = 1.0f;
}

__global__ void take_shared_kernel(float* out) {
  SAEMILL_SHARED(float, tile, 4 * 1024);
  tile[threadIdx.x] = 1.0f;
  out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void add_in_any_order_kernel(const float* in, float* out) {
  atomicAdd(out, in[threadIdx.x]);
}

}  // namespace

void store_outside(float* out, int n, const Stream& stream) {
  launch(stream, "store_outside", store_outside_kernel, {{1}, 1}, out, n);
}
void store_outside_shared(float* out, const Stream& stream) {
  launch(stream, "store_outside_shared", store_outside_shared_kernel, {{1}, kThreads}, out);
}
void read_outside_dynamic(float* out, const Stream& stream) {
  launch(stream, "read_outside_dynamic", read_outside_dynamic_kernel,
         {{1}, kThreads, kThreads * sizeof(float)}, out);
}
void forget_barrier(const float* in, float* out, const Stream& stream) {
  launch(stream, "forget_barrier", forget_barrier_kernel, {{1}, kThreads}, in, out);
}
void forget_to_write(float* out, const Stream& stream) {
  launch(stream, "forget_to_write", forget_to_write_kernel, {{1}, kThreads}, out);
}
void diverge(float* out, const Stream& stream) {
  launch(stream, "diverge", diverge_kernel, {{3}, kThreads}, out);
}
void meet_elsewhere(float* out, const Stream& stream) {
  launch(stream, "meet_elsewhere", meet_elsewhere_kernel, {{1}, kThreads}, out);
}
void return_early(float* out, const Stream& stream) {
  launch(stream, "return_early", return_early_kernel, {{1}, kThreads}, out);
}
void shuffle_with_absent(float* out, const Stream& stream) {
  launch(stream, "shuffle_with_absent", shuffle_with_absent_kernel, {{1}, kThreads}, out);
}
void shuffle_unnamed(float* out, const Stream& stream) {
  launch(stream, "shuffle_unnamed", shuffle_unnamed_kernel, {{1}, kThreads}, out);
}
void read_misaligned(const float* in, float* out, const Stream& stream) {
  launch(stream, "read_misaligned", read_misaligned_kernel, {{1}, 1}, in, out);
}
void fill_shared(const Stream& stream) {
  launch(stream, "fill_shared", fill_shared_kernel, {{1}, 1});
}
void take_shared(float* out, size_t dynamic_bytes, const Stream& stream) {
  launch(stream, "take_shared", take_shared_kernel, {{1}, 1, dynamic_bytes}, out);
}
void add_in_any_order(const float* in, float* out, const Stream& stream) {
  launch(stream, "add_in_any_order", add_in_any_order_kernel, {{1}, kThreads}, in, out);
}

}  // namespace saemill::gpu::mistakes
