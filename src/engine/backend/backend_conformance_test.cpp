// One table for every backend: each operation of a step, compared with the reference backend. Integer-valued inputs must agree
// exactly, ties included; random ones, with the selection forced, within relative L2 of 1e-6 (f32) and 5e-3 (bf16).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/plan/tiles.h"
#include "engine/backend/backend.h"

namespace saemill {
namespace {

struct Shape {
  int64_t batch, d_in, d_sae, k, aux_k;
};

double value_of(DType dtype, const std::byte* data, int64_t i) {
  if (dtype == DType::f64) return reinterpret_cast<const double*>(data)[i];
  if (dtype == DType::f32) return static_cast<double>(reinterpret_cast<const float*>(data)[i]);
  if (dtype == DType::i32) return reinterpret_cast<const int32_t*>(data)[i];
  if (dtype == DType::i64) return static_cast<double>(reinterpret_cast<const int64_t*>(data)[i]);
  const uint32_t bits = static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(data)[i]) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return static_cast<double>(value);
}

void set_value(DType dtype, std::byte* data, int64_t i, double value) {
  if (dtype == DType::f64) reinterpret_cast<double*>(data)[i] = value;
  if (dtype == DType::f32) reinterpret_cast<float*>(data)[i] = static_cast<float>(value);
  if (dtype == DType::i32) reinterpret_cast<int32_t*>(data)[i] = static_cast<int32_t>(value);
  if (dtype == DType::i64) reinterpret_cast<int64_t*>(data)[i] = static_cast<int64_t>(value);
  if (dtype == DType::bf16) {
    const float rounded = static_cast<float>(value);
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    reinterpret_cast<uint16_t*>(data)[i] = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
}

// A backend with the buffers of one step.
class Rig {
 public:
  Rig(std::unique_ptr<Backend> backend, const Shape& shape) : backend_(std::move(backend)), s_(shape) {
    const DType real = backend_->real(), low = backend_->low();
    const int64_t padded = round_up(s_.batch, kRowTile), n = s_.d_in, M = s_.d_sae;
    add("x", real, s_.batch, n);
    for (const char* name : {"W_enc", "W_dec", "m.W_enc", "m.W_dec", "v.W_enc", "v.W_dec"}) add(name, real, M, n);
    for (const char* name : {"b_enc", "m.b_enc", "v.b_enc"}) add(name, real, 1, M);
    add("b_dec", real, 1, n);
    for (const char* name : {"centered", "residual", "aux_residual"}) add(name, low, padded, n);
    for (const char* name : {"packed", "packed_dec", "packed_dec_t"})
      add(name, DType::u8, ceil_div(M, latent_chunk(M)), round_up(backend_->packed_chunk_bytes() + 512 * 64 * 8, 64));
    views_["packed"].cols = views_["packed_dec_t"].cols = backend_->packed_chunk_bytes();
    add_codes("codes", s_.k);
    add_codes("aux", s_.aux_k);
    add("row_stats", DType::f64, s_.batch, kRowStats);
    add("block_sums", real, ceil_div(s_.batch, kBlock), n);
    add("latent_sums", real, ceil_div(M, kBlock), n);
    add("latent_norms", DType::f64, 1, ceil_div(M, kBlock));
    add("offsets", DType::i64, 1, M + 1);
    add("positions", DType::i32, s_.batch, s_.k);
    add("aux_offsets", DType::i64, 1, M + 1);
    add("aux_positions", DType::i32, s_.batch, std::max<int64_t>(s_.aux_k, 1));
    add("last_fired", DType::i64, 1, M);
    add("dead", DType::i32, 1, M);
    add("grad_W_enc", real, M, n);
    add("grad_W_dec", real, M, n);
    add("grad_b_enc", real, 1, M);
    add("moments", DType::f64, ceil_div(s_.batch, kBlock), n + 1);
  }

  void add(const std::string& name, DType dtype, int64_t rows, int64_t cols) {
    auto& memory = memory_[name];
    memory.resize(static_cast<size_t>(rows * cols) * dtype_size(dtype) + 64);
    auto address = reinterpret_cast<uintptr_t>(memory.data());
    views_[name] = {memory.data() + (64 - address % 64) % 64, dtype, rows, cols};
  }
  void add_codes(const std::string& name, int64_t k) {
    add(name + ".index", DType::i32, s_.batch, k);
    add(name + ".value", backend_->real(), s_.batch, k);
    add(name + ".grad", backend_->real(), s_.batch, k);
  }
  View& operator[](const std::string& name) { return views_.at(name); }
  double get(const std::string& name, int64_t i) { return value_of(views_.at(name).dtype, views_.at(name).data, i); }
  void set(const std::string& name, int64_t i, double value) {
    set_value(views_.at(name).dtype, views_.at(name).data, i, value);
  }
  Codes codes(const std::string& name) {
    return {views_.at(name + ".index"), views_.at(name + ".value"), views_.at(name + ".grad")};
  }
  SaeViews sae(const std::string& prefix = "") {
    return {views_.at(prefix + "W_enc"), views_.at(prefix + "W_dec"), views_.at(prefix + "b_enc"), views_.at("b_dec")};
  }
  PackedViews packed(bool dense) {
    if (!dense) return {views_.at("packed"), {}, {}};
    return {views_.at("packed"), views_.at("packed_dec"), views_.at("packed_dec_t")};
  }
  Backend& backend() { return *backend_; }
  const Shape& shape() const { return s_; }

  void encode(bool with_aux) {
    backend_->center((*this)["x"], (*this)["b_dec"], (*this)["centered"]);
    backend_->pack(sae(), packed(false), 0, s_.d_sae);
    View dead = (*this)["dead"];
    dead.cols = with_aux ? dead_count_ : 0;
    more_ = backend_->select({(*this)["centered"], s_.batch, (*this)["packed"], (*this)["b_enc"], codes("codes"), dead,
                              with_aux ? codes("aux") : Codes{}});
  }
  void decode(bool with_aux) {
    DecodeTask task{.x = (*this)["x"], .sae = sae(), .codes = codes("codes"), .scale = 2.0 / 64, .aux_coefficient = 0.25,
                    .l1 = 0.5, .residual = (*this)["residual"], .row_stats = (*this)["row_stats"],
                    .block_sums = (*this)["block_sums"]};
    if (with_aux) task.aux = codes("aux"), task.aux_residual = (*this)["aux_residual"];
    backend_->decode(task);
  }
  LatentTask latent_task(bool with_aux, bool dense) {
    LatentTask task{.first = 0, .last = s_.d_sae, .rows = s_.batch, .sae = sae(), .m = sae("m."), .v = sae("v."),
                    .packed = packed(dense), .centered = (*this)["centered"], .residual = (*this)["residual"],
                    .codes = codes("codes"), .by_latent = {(*this)["offsets"], (*this)["positions"]}, .l1 = 0.5,
                    .adam = {0.125, 0.5, 0.75, 0.0625, 2}, .last_fired = (*this)["last_fired"], .now = 99,
                    .block_sums = (*this)["latent_sums"], .block_norms = (*this)["latent_norms"]};
    if (with_aux) {
      task.aux = codes("aux");
      task.aux_residual = (*this)["aux_residual"];
      task.aux_by_latent = {(*this)["aux_offsets"], (*this)["aux_positions"]};
    }
    return task;
  }
  void group(bool with_aux) {
    backend_->group_by_latent(codes("codes"), 0, s_.d_sae, {(*this)["offsets"], (*this)["positions"]});
    if (with_aux)
      backend_->group_by_latent(codes("aux"), 0, s_.d_sae, {(*this)["aux_offsets"], (*this)["aux_positions"]});
  }
  void set_dead(int64_t count, int64_t stride) {
    dead_count_ = std::min(count, ceil_div(s_.d_sae, stride));
    for (int64_t i = 0; i < dead_count_; ++i) set("dead", i, static_cast<double>(i * stride));
  }
  bool more() const { return more_; }

 private:
  std::unique_ptr<Backend> backend_;
  Shape s_;
  std::map<std::string, std::vector<std::byte>> memory_;
  std::map<std::string, View> views_;
  int64_t dead_count_ = 0;
  bool more_ = false;
};

enum class Fill { integers, random };

struct Case {
  std::string backend;  // cpu-f32 | cpu-bf16, and the number of threads
  int threads;
  Shape shape;
};

class Conformance : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case& c = GetParam();
    const DType low = c.backend == "cpu-bf16" ? DType::bf16 : DType::f32;
    try {
      fast_ = std::make_unique<Rig>(make_cpu_backend(c.shape.d_in, c.shape.d_sae, low, c.threads), c.shape);
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    reference_ = std::make_unique<Rig>(make_reference_backend(c.shape.d_in, c.shape.d_sae), c.shape);
    tolerance_ = low == DType::bf16 ? 5e-3 : 1e-6;
  }

  // Small integers and powers of two: every sum is exact in f32, every operand in bf16.
  void fill(Fill how) {
    uint64_t stream = 0;
    for (const char* name : {"x", "W_enc", "W_dec", "b_enc", "b_dec"}) {
      ++stream;
      const View& view = (*reference_)[name];
      for (int64_t i = 0; i < view.rows * view.cols; ++i) {
        double value = how == Fill::integers
                           ? static_cast<double>(random_bits(1, stream, static_cast<uint64_t>(i)) % 5) - 2.0
                           : random_normal(1, stream, static_cast<uint64_t>(i));
        if (how == Fill::random && name[0] == 'W') value /= std::sqrt(static_cast<double>(view.cols));
        put(name, i, static_cast<double>(static_cast<float>(value)));
      }
    }
  }
  void put(const std::string& name, int64_t i, double value) {
    reference_->set(name, i, value);
    fast_->set(name, i, value);
  }
  void copy_to_fast(const std::string& name) {
    const View& view = (*reference_)[name];
    for (int64_t i = 0; i < view.rows * view.cols; ++i) fast_->set(name, i, reference_->get(name, i));
  }
  void expect_equal(const std::string& name, int64_t count = -1) {
    const View& view = (*reference_)[name];
    if (count < 0) count = view.rows * view.cols;
    for (int64_t i = 0; i < count; ++i)
      ASSERT_EQ(fast_->get(name, i), reference_->get(name, i)) << name << " element " << i;
  }
  void expect_close(const std::string& name, int64_t count = -1) {
    const View& view = (*reference_)[name];
    if (count < 0) count = view.rows * view.cols;
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; ++i) {
      const double want = reference_->get(name, i), got = fast_->get(name, i);
      difference += (want - got) * (want - got);
      size += want * want;
    }
    EXPECT_LE(std::sqrt(difference), tolerance_ * std::sqrt(size) + 1e-30) << name;
  }
  template <typename Work>
  void both(Work&& work) {
    work(*reference_);
    work(*fast_);
  }

  std::unique_ptr<Rig> reference_, fast_;
  double tolerance_ = 0;
};

TEST_P(Conformance, IntegersSelectExactlyWithTies) {
  fill(Fill::integers);
  both([](Rig& rig) {
    rig.set_dead(rig.shape().d_sae / 2, 2);
    rig.encode(true);
  });
  for (const char* name : {"codes.index", "codes.value", "aux.index", "aux.value"}) expect_equal(name);
  EXPECT_EQ(reference_->more(), fast_->more());
  both([](Rig& rig) { rig.group(true); });
  expect_equal("offsets");
  expect_equal("positions", static_cast<int64_t>(reference_->get("offsets", reference_->shape().d_sae)));
}

TEST_P(Conformance, DecodeAndLatentPassWithForcedSelection) {
  fill(Fill::random);
  reference_->set_dead(reference_->shape().d_sae / 2, 2);
  reference_->encode(true);
  fast_->encode(false);  // centered and packed are its own
  for (const char* name : {"codes.index", "codes.value", "aux.index", "aux.value"}) copy_to_fast(name);
  both([](Rig& rig) {
    rig.decode(true);
    rig.group(true);
  });
  for (const char* name : {"codes.grad", "aux.grad", "row_stats", "block_sums"}) expect_close(name);
  const int64_t rows = reference_->shape().batch * reference_->shape().d_in;
  expect_close("residual", rows);
  expect_close("aux_residual", rows);
  expect_close("centered", rows);
  both([](Rig& rig) { rig.backend().update_latents(rig.latent_task(true, false)); });
  for (const char* name : {"W_enc", "W_dec", "b_enc", "m.W_enc", "m.W_dec", "v.W_enc", "v.W_dec", "m.b_enc", "latent_sums"})
    expect_close(name);
  expect_equal("last_fired");
  expect_close("latent_norms");
}

TEST_P(Conformance, AccumulatedGradientsAreThoseOfOnePass) {
  fill(Fill::random);
  fast_->encode(false);
  fast_->decode(false);
  fast_->group(false);
  LatentTask task = fast_->latent_task(false, false);
  task.grad_W_enc = (*fast_)["grad_W_enc"];
  task.grad_W_dec = (*fast_)["grad_W_dec"];
  task.grad_b_enc = (*fast_)["grad_b_enc"];
  task.pass = LatentPass::accumulate;
  fast_->backend().update_latents(task);
  task.pass = LatentPass::norm;
  task.add_batch = false;
  fast_->backend().update_latents(task);
  std::vector<double> norms;
  for (int64_t i = 0; i < (*fast_)["latent_norms"].cols; ++i) norms.push_back(fast_->get("latent_norms", i));
  fast_->backend().update_latents(fast_->latent_task(false, false));
  for (size_t i = 0; i < norms.size(); ++i) EXPECT_EQ(norms[i], fast_->get("latent_norms", static_cast<int64_t>(i)));
}

TEST_P(Conformance, DensePath) {
  fill(Fill::random);
  both([](Rig& rig) {
    rig.backend().center(rig["x"], rig["b_dec"], rig["centered"]);
    rig.backend().pack(rig.sae(), rig.packed(true), 0, rig.shape().d_sae);
    rig.backend().dense_forward({rig["x"], rig["centered"], rig.sae(), rig.packed(true), 2.0 / 64, rig["residual"],
                                 rig["row_stats"], rig["block_sums"]});
  });
  const int64_t rows = reference_->shape().batch * reference_->shape().d_in;
  tolerance_ *= 2;  // two products in a row
  expect_close("residual", rows);
  expect_close("block_sums");
  both([](Rig& rig) { rig.backend().update_latents_dense(rig.latent_task(false, true)); });
  for (const char* name : {"m.W_enc", "m.W_dec", "latent_norms"}) expect_close(name);
  // Here nothing forces which latents are active, and Adam divides by the size of gradients near zero.
  tolerance_ *= 4;
  for (const char* name : {"W_enc", "W_dec"}) expect_close(name);
}

TEST_P(Conformance, MomentsAndVectorAdam) {
  fill(Fill::random);
  both([](Rig& rig) {
    rig.backend().data_moments(rig["x"], rig["moments"]);
    View grad = rig["W_enc"].slice(0, 1), m = rig["m.W_enc"].slice(0, 1), v = rig["v.W_enc"].slice(0, 1);
    rig.backend().adam(rig["b_dec"], grad, m, v, {0.1, 0.9, 0.999, 1e-8, 3}, 0.5);
  });
  expect_close("moments");
  expect_close("b_dec");
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* backend : {"cpu-f32", "cpu-bf16"})
    for (const Shape& shape : {Shape{1, 1, 1, 1, 1}, Shape{3, 5, 7, 2, 3}, Shape{65, 16, 64, 4, 8}, Shape{200, 33, 130, 8, 16},
                               Shape{130, 256, 300, 32, 64}, Shape{257, 100, 2100, 5, 40}})
      for (const int threads : {1, 3}) all.push_back({backend, threads, shape});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Backends, Conformance, testing::ValuesIn(cases()), [](const auto& parameters) {
  const Case& c = parameters.param;
  std::string name = c.backend + "_t" + std::to_string(c.threads) + "_" + std::to_string(c.shape.batch) + "x" +
                     std::to_string(c.shape.d_in) + "x" + std::to_string(c.shape.d_sae);
  for (char& ch : name)
    if (ch == '-') ch = '_';
  return name;
});

}  // namespace
}  // namespace saemill
