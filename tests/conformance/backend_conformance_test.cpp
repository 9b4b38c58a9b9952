// One table for every backend: each operation of a step, compared with the reference backend. Integer-valued
// inputs must agree exactly, ties included; random ones, with the selection forced, within relative L2 of
// 1e-6 (f32), 1e-3 (TF32) and 5e-3 (bf16).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/plan/tiles.h"
#include "conformance/backends.h"

namespace saemill {
namespace {

enum class Fill { integers, random };

class Conformance : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case& c = GetParam();
    try {
      fast_ = std::make_unique<Rig>(make_backend(c), c.shape);
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    reference_ = std::make_unique<Rig>(make_reference_backend(c.shape.d_in, c.shape.d_sae), c.shape);
    tolerance_ = tolerance(c);
  }

  // Small integers and powers of two: every sum is exact in f32, every operand in bf16.
  void fill(Fill how, uint64_t seed = 1) {
    uint64_t stream = 0;
    for (const char* name : {"x", "W_enc", "W_dec", "b_enc", "b_dec"}) {
      ++stream;
      const View view = (*reference_)[name];
      for (int64_t i = 0; i < view.rows * view.cols; ++i) {
        double value = how == Fill::integers
                           ? static_cast<double>(random_bits(1, stream, static_cast<uint64_t>(i)) % 5) - 2.0
                           : random_normal(seed, stream, static_cast<uint64_t>(i));
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
    const View view = (*reference_)[name];
    for (int64_t i = 0; i < view.rows * view.cols; ++i) fast_->set(name, i, reference_->get(name, i));
  }
  void expect_equal(const std::string& name, int64_t count = -1) {
    const View view = (*reference_)[name];
    if (count < 0) count = view.rows * view.cols;
    for (int64_t i = 0; i < count; ++i)
      ASSERT_EQ(fast_->get(name, i), reference_->get(name, i)) << name << " element " << i;
  }
  void expect_close(const std::string& name, int64_t count = -1) {
    const View view = (*reference_)[name];
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
  both([](Rig& rig) { rig.set_dead(std::max<int64_t>(rig.shape().d_sae / 2, 1), 2); });
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
  for (const char* name :
       {"W_enc", "W_dec", "b_enc", "m.W_enc", "m.W_dec", "v.W_enc", "v.W_dec", "m.b_enc", "latent_sums"})
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
  for (size_t i = 0; i < norms.size(); ++i)
    EXPECT_EQ(norms[i], fast_->get("latent_norms", static_cast<int64_t>(i)));
}

TEST_P(Conformance, DensePath) {
  // A seed of which no pre-activation of the small shapes is so near zero that TF32 changes its sign.
  fill(Fill::random, 4);
  both([](Rig& rig) {
    rig.backend().center(rig["x"], rig["b_dec"], rig["centered"]);
    rig.backend().pack(rig.sae(), rig.packed(true), 0, rig.shape().d_sae);
    rig.backend().dense_forward({rig["x"], rig["centered"], rig.sae(), rig.packed(true), 2.0 / 64,
                                 rig["residual"], rig["row_stats"], rig["block_sums"]});
  });
  const int64_t rows = reference_->shape().batch * reference_->shape().d_in;
  tolerance_ = 2 * dense_tolerance(GetParam());  // two products in a row
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
    rig.set_scalars({{0.1, 0.9, 0.999, 1e-8, 3}, 0, 0, 0});
    rig.set("sums", kClipFactor, 0.5);
    const double* clip = rig["sums"].as<double>() + kClipFactor;
    rig.backend().adam(rig["b_dec"], grad, m, v, rig.scalars(), clip);
  });
  expect_close("moments");
  expect_close("b_dec");
}

TEST_P(Conformance, SumsOfTheBatchAndTheGradientOfTheDecoderBias) {
  fill(Fill::random);
  for (const double clip_norm : {0.0, 1e-3, 1e9}) {
    both([&](Rig& rig) {
      rig.set_dead(3, 2);
      EXPECT_EQ(rig.get("sums", kDeadLatents), std::min<int64_t>(3, ceil_div(rig.shape().d_sae, 2)));
      rig.encode(false);
    });
    for (const char* name : {"codes.index", "codes.value"}) copy_to_fast(name);
    both([&](Rig& rig) {
      for (const char* name : {"sums", "bias_sums", "moment_sums"}) rig.backend().zero(rig[name]);
      rig.decode(false);
      rig.group(false);
      rig.backend().data_moments(rig["x"], rig["moments"]);
      // Twice, as two micro-batches would.
      for (int micro = 0; micro < 2; ++micro)
        rig.backend().sum_batch({rig["row_stats"], rig["block_sums"], rig["moments"], rig["sums"],
                                 rig["bias_sums"], rig["moment_sums"]});
      LatentTask task = rig.latent_task(false, false);
      task.pass = LatentPass::norm;
      rig.backend().update_latents(task);
      rig.backend().finish_gradient({rig["bias_sums"], rig["latent_sums"], rig["latent_norms"], clip_norm,
                                     rig["grad_b_dec"], rig["sums"]});
    });
    for (const char* name : {"sums", "bias_sums", "moment_sums", "grad_b_dec"}) expect_close(name);
    const double factor = reference_->get("sums", kClipFactor);
    EXPECT_NEAR(fast_->get("sums", kClipFactor) / factor, 1, tolerance_);
    EXPECT_EQ(factor < 1, clip_norm == 1e-3);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Conformance, testing::ValuesIn(cases()), [](const auto& parameters) {
  const Case& c = parameters.param;
  std::string name = c.backend + "_" + dtype_name(c.low) + "_" + c.isa + "_t" + std::to_string(c.threads) +
                     "_" + std::to_string(c.shape.batch) + "x" + std::to_string(c.shape.d_in) + "x" +
                     std::to_string(c.shape.d_sae);
  for (char& ch : name)
    if (ch == '-') ch = '_';
  return name;
});

}  // namespace
}  // namespace saemill
