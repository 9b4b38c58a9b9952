// gemm.h by cuBLASLt. It is column-major: C^T = B'^T A'^T of our matrices is what it computes, so operands
// change places and nothing is transposed in memory.
#include <cublasLt.h>

#include <map>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "engine/backend/cuda/gemm.h"

namespace saemill::gpu {
namespace {

constexpr const char* kForms[] = {"nt", "nn", "tn"};

ErrorCode code_of(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_NOT_INITIALIZED:
    case CUBLAS_STATUS_ALLOC_FAILED:
    case CUBLAS_STATUS_EXECUTION_FAILED:
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return ErrorCode::retry;
    default:
      return ErrorCode::internal;
  }
}

void check(cublasStatus_t status, const char* operation, const GemmShape& shape, int64_t ldc) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(code_of(status), "{} for a product of {} [{}, {}] by {} over {}{}, rows {} apart, failed: {}",
       operation, kForms[static_cast<int>(shape.form)], shape.m, shape.n, dtype_name(shape.low), shape.k,
       shape.accumulate ? ", added" : "", ldc, cublasLtGetStatusName(status));
}

template <typename Handle, cublasStatus_t (*Destroy)(Handle)>
struct Owner {
  Handle handle = nullptr;
  Owner() = default;
  Owner(Owner&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  Owner& operator=(Owner&& other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Owner() {
    if (handle) Destroy(handle);
  }
};

using Layout = Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

// All that cublasLtMatmul wants to know about a shape. `first` and `second` are its operands, B and A.
struct Plan {
  Owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> product;
  Layout first, second, result;
  cublasLtMatmulAlgo_t algorithm{};
};

Layout layout(cudaDataType_t type, int64_t rows, int64_t cols, int64_t ld, const GemmShape& shape,
              int64_t ldc) {
  Layout out;
  // Our rows are its columns.
  check(cublasLtMatrixLayoutCreate(&out.handle, type, static_cast<uint64_t>(cols),
                                   static_cast<uint64_t>(rows), ld),
        "describing a matrix", shape, ldc);
  return out;
}

using Algorithms = std::vector<cublasLtMatmulAlgo_t>;

template <typename Preference, typename T>
cublasStatus_t set(Preference preference, cublasLtMatmulPreferenceAttributes_t name, const T& value) {
  return cublasLtMatmulPreferenceSetAttribute(preference, name, &value, sizeof value);
}

}  // namespace

struct GemmEngine::Impl {
  Owner<cublasLtHandle_t, cublasLtDestroy> lt;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  std::map<std::pair<GemmShape, int64_t>, Plan> plans;

  Plan& plan(const GemmShape& shape, int64_t ldc);
  void describe(Plan& plan, const GemmShape& shape, int64_t ldc) const;
  Algorithms suggested(const Plan& plan, const GemmShape& shape, int64_t ldc, int most) const;
};

void GemmEngine::Impl::describe(Plan& plan, const GemmShape& shape, int64_t ldc) const {
  const bool bf16 = shape.low == DType::bf16;
  const cudaDataType_t low = bf16 ? CUDA_R_16BF : CUDA_R_32F;
  check(cublasLtMatmulDescCreate(&plan.product.handle,
                                 bf16 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F),
        "describing", shape, ldc);
  const cublasOperation_t first = shape.form == GemmForm::nt ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t second = shape.form == GemmForm::tn ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(
      cublasLtMatmulDescSetAttribute(plan.product.handle, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first),
      "describing", shape, ldc);
  check(cublasLtMatmulDescSetAttribute(plan.product.handle, CUBLASLT_MATMUL_DESC_TRANSB, &second,
                                       sizeof second),
        "describing", shape, ldc);
  const int64_t a_cols = shape.a_cols(), b_cols = shape.b_cols();
  const int64_t a_rows = shape.form == GemmForm::tn ? shape.k : shape.m;
  const int64_t b_rows = shape.form == GemmForm::nt ? shape.n : shape.k;
  plan.first = layout(low, b_rows, b_cols, b_cols, shape, ldc);
  plan.second = layout(low, a_rows, a_cols, a_cols, shape, ldc);
  plan.result = layout(CUDA_R_32F, shape.m, shape.n, ldc, shape, ldc);
}

// The one that cuBLASLt expects to be the fastest first, and at least one. Split sums only through the
// workspace, added in a step of their own.
Algorithms GemmEngine::Impl::suggested(const Plan& plan, const GemmShape& shape, int64_t ldc,
                                       int most) const {
  constexpr const char* kStep = "choosing an algorithm";
  Owner<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference;
  check(cublasLtMatmulPreferenceCreate(&preference.handle), kStep, shape, ldc);
  const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const uint64_t bytes = workspace_bytes;
  check(set(preference.handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes), kStep, shape, ldc);
  check(set(preference.handle, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction), kStep, shape, ldc);
  for (const auto name :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    check(set(preference.handle, name, kGemmAlignment), kStep, shape, ldc);
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(most));
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(lt.handle, plan.product.handle, plan.first.handle, plan.second.handle,
                                       plan.result.handle, plan.result.handle, preference.handle, most,
                                       results.data(), &found),
        kStep, shape, ldc);
  if (found == 0) results[0].state = CUBLAS_STATUS_NOT_SUPPORTED;
  check(results[0].state, kStep, shape, ldc);
  Algorithms algorithms;
  for (int i = 0; i < found; ++i)
    if (const auto& result = results[static_cast<size_t>(i)]; result.state == CUBLAS_STATUS_SUCCESS)
      algorithms.push_back(result.algo);
  return algorithms;
}

Plan& GemmEngine::Impl::plan(const GemmShape& shape, int64_t ldc) {
  const auto known = plans.find({shape, ldc});
  if (known != plans.end()) return known->second;
  check_gemm(shape, ldc);
  Plan plan;
  describe(plan, shape, ldc);
  plan.algorithm = suggested(plan, shape, ldc, 1)[0];
  return plans.emplace(std::pair{shape, ldc}, std::move(plan)).first->second;
}

GemmEngine::GemmEngine(void* workspace, size_t workspace_bytes) : impl_(std::make_unique<Impl>()) {
  impl_->workspace = workspace;
  impl_->workspace_bytes = workspace_bytes;
  const cublasStatus_t status = cublasLtCreate(&impl_->lt.handle);
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(code_of(status), "starting cuBLASLt failed: {}", cublasLtGetStatusName(status));
}

GemmEngine::~GemmEngine() = default;
GemmEngine::GemmEngine(GemmEngine&&) noexcept = default;
GemmEngine& GemmEngine::operator=(GemmEngine&&) noexcept = default;

void GemmEngine::prepare(const GemmShape& shape, int64_t ldc) {
  impl_->plan(shape, ldc);
}

int GemmEngine::suggestions(const GemmShape& shape, int64_t ldc, int most) {
  return static_cast<int>(impl_->suggested(impl_->plan(shape, ldc), shape, ldc, most).size());
}

void GemmEngine::choose(const GemmShape& shape, int64_t ldc, int number) {
  Plan& plan = impl_->plan(shape, ldc);
  ensure(number >= 0, "the number of a product's algorithm");
  const Algorithms algorithms = impl_->suggested(plan, shape, ldc, number + 1);
  ensure(static_cast<size_t>(number) < algorithms.size(), "the number of a product's algorithm");
  plan.algorithm = algorithms[static_cast<size_t>(number)];
}

void GemmEngine::run(const GemmShape& shape, const void* a, const void* b, float* c, int64_t ldc,
                     const Stream& stream) {
  const Plan& plan = impl_->plan(shape, ldc);
  check_gemm_alignment(a, b, c);
  const float one = 1.0f, beta = shape.accumulate ? 1.0f : 0.0f;
  check(
      cublasLtMatmul(impl_->lt.handle, plan.product.handle, &one, b, plan.first.handle, a, plan.second.handle,
                     &beta, c, plan.result.handle, c, plan.result.handle, &plan.algorithm, impl_->workspace,
                     impl_->workspace_bytes, static_cast<cudaStream_t>(stream.native())),
      "starting it", shape, ldc);
}

}  // namespace saemill::gpu
