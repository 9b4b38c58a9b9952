#include "engine/backend/cpu/gemm.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>

#include "common/base/error.h"

namespace saemill {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

const dnnl::engine& engine() {
  static const dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

// Streams are not thread-safe; making one costs more than a small product.
dnnl::stream& stream() {
  thread_local dnnl::stream instance(engine());
  return instance;
}

// oneDNN takes its thread count from OpenMP, both when a primitive is made and when it runs.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }

 private:
  int before_;
};

}  // namespace

struct Gemm::Impl {
  dnnl::matmul::primitive_desc description;
  dnnl::matmul product;
  memory::desc plain_transposed, plain;
  dnnl::reorder pack_transposed, pack;
};

Gemm::Gemm(const GemmShape& shape) try : impl_(std::make_unique<Impl>()) {
  const OneThread one;
  const auto type = shape.dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const memory::desc a({shape.m, shape.k}, type, shape.a_transposed ? Tag::ba : Tag::ab);
  const memory::desc b({shape.k, shape.n}, type, shape.packed_b ? Tag::any : Tag::ab);
  const memory::desc c({shape.m, shape.n}, memory::data_type::f32, Tag::ab);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (shape.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  impl_->description = dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), attributes, engine());
  impl_->product = dnnl::matmul(impl_->description);
  impl_->plain_transposed = memory::desc({shape.k, shape.n}, type, Tag::ba);
  impl_->plain = memory::desc({shape.k, shape.n}, type, Tag::ab);
  if (!shape.packed_b) return;
  const auto packed = impl_->description.weights_desc();
  impl_->pack_transposed =
      dnnl::reorder(dnnl::reorder::primitive_desc(engine(), impl_->plain_transposed, engine(), packed));
  impl_->pack = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), impl_->plain, engine(), packed));
} catch (const dnnl::error& error) {
  fail(ErrorCode::bad_config,
       "oneDNN has no {} product [{}, {}] x [{}, {}] on this CPU ({}); train.dtype = \"f32\" runs on any",
       dtype_name(shape.dtype), shape.m, shape.k, shape.k, shape.n, error.what());
}

Gemm::~Gemm() = default;
Gemm::Gemm(Gemm&&) noexcept = default;

size_t Gemm::packed_bytes() const {
  return impl_->description.weights_desc().get_size();
}
size_t Gemm::scratch_bytes() const {
  return impl_->description.scratchpad_desc().get_size();
}
std::string Gemm::implementation() const {
  return impl_->description.impl_info_str();
}

void Gemm::pack(const void* b, bool transposed, void* packed) const {
  const OneThread one;
  memory from(transposed ? impl_->plain_transposed : impl_->plain, engine(), const_cast<void*>(b));
  memory to(impl_->description.weights_desc(), engine(), packed);
  (transposed ? impl_->pack_transposed : impl_->pack).execute(stream(), from, to);
  stream().wait();
}

void Gemm::run(const void* a, const void* b, float* c, void* scratch) const {
  const OneThread one;
  memory ma(impl_->description.src_desc(), engine(), const_cast<void*>(a));
  memory mb(impl_->description.weights_desc(), engine(), const_cast<void*>(b));
  memory mc(impl_->description.dst_desc(), engine(), c);
  memory ms(impl_->description.scratchpad_desc(), engine(), scratch);
  impl_->product.execute(
      stream(), {{DNNL_ARG_SRC, ma}, {DNNL_ARG_WEIGHTS, mb}, {DNNL_ARG_DST, mc}, {DNNL_ARG_SCRATCHPAD, ms}});
  stream().wait();
}

}  // namespace saemill
