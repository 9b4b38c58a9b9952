// A build without CUDA's toolkit.
#include "common/base/error.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/select.h"

namespace saemill {
namespace {

[[noreturn]] void refuse() {
  fail(ErrorCode::bad_config, "this saemill was built without CUDA; accepted: devices cpu:0, cpu:1, ...");
}

}  // namespace

CudaBackend make_cuda_backend(int64_t, int64_t, DType) {
  refuse();
}

namespace gpu {

struct GemmEngine::Impl {};
GemmEngine::GemmEngine(void*, size_t) {
  refuse();
}
GemmEngine::~GemmEngine() = default;
int GemmEngine::suggestions(const GemmShape&, int64_t, int) {
  refuse();
}
void GemmEngine::choose(const GemmShape&, int64_t, int) {
  refuse();
}
void GemmEngine::run(const GemmShape&, const void*, const void*, float*, int64_t, const Stream&) {
  refuse();
}

size_t select_state_bytes(int64_t, int64_t) {
  refuse();
}
SelectState make_select_state(void*, int64_t, int64_t) {
  refuse();
}
void select_chunk(const SelectState&, const SelectChunk&, const Stream&) {
  refuse();
}
void finish_select(const SelectState&, int64_t, int32_t*, float*, int32_t*, const Stream&) {
  refuse();
}

}  // namespace gpu
}  // namespace saemill
