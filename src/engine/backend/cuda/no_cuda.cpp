// A build without CUDA's toolkit.
#include "common/base/error.h"
#include "engine/backend/cuda/cuda_backend.h"

namespace saemill {

CudaBackend make_cuda_backend(int64_t, int64_t, DType) {
  fail(ErrorCode::bad_config, "this saemill was built without CUDA; accepted: devices cpu:0, cpu:1, ...");
}

}  // namespace saemill
