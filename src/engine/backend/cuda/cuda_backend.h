// The backend of an NVIDIA GPU. Everything is enqueued on one compute stream; read() waits for it.
#pragma once

#include <memory>

#include "engine/backend/backend.h"
#include "engine/gpu/runtime.h"

namespace saemill {

struct CudaBackend {
  std::unique_ptr<Backend> backend;
  const gpu::Stream* compute = nullptr;  // the backend's; for exchanges between GPUs
};

// On the thread's current device (gpu::use_device). low: bf16, or f32, whose products are then TF32.
// Error{bad_config} where this build has no CUDA.
CudaBackend make_cuda_backend(int64_t d_in, int64_t d_sae, DType low);

}  // namespace saemill
