// Gradients of every parameter: the reference backend against central differences, and every backend against
// PyTorch.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/base/random.h"
#include "conformance/backends.h"

namespace saemill {
namespace {

struct Problem {
  std::string kind;  // topk | topk_aux | relu (sparse path) | relu_dense
  Shape shape;
  double aux_coefficient = 0, l1 = 0;
  std::vector<int64_t> dead;
  std::map<std::string, std::vector<double>> values;  // x and the parameters
};

using Gradients = std::map<std::string, std::vector<double>>;

std::vector<double> read_all(Rig& rig, const std::string& name) {
  std::vector<double> values(static_cast<size_t>(rig[name].rows * rig[name].cols));
  for (size_t i = 0; i < values.size(); ++i) values[i] = rig.get(name, static_cast<int64_t>(i));
  return values;
}

// Runs one step up to the gradients. Codes stay in the rig.
Gradients gradients(Rig& rig, const Problem& problem) {
  const bool aux = problem.kind == "topk_aux", dense = problem.kind == "relu_dense";
  for (const auto& [name, values] : problem.values)
    for (size_t i = 0; i < values.size(); ++i) rig.set(name, static_cast<int64_t>(i), values[i]);
  rig.set_dead_list(problem.dead);
  const double batch = static_cast<double>(problem.shape.batch);
  rig.set_l1(problem.l1 / batch);
  LatentTask latents = rig.latent_task(aux, dense);
  if (dense) {
    rig.backend().center(rig["x"], rig["b_dec"], rig["centered"]);
    rig.backend().pack(rig.sae(), rig.packed(true), 0, problem.shape.d_sae);
    rig.backend().dense_forward({rig["x"], rig["centered"], rig.sae(), rig.packed(true), 2 / batch,
                                 rig["residual"], rig["row_stats"], rig["block_sums"]});
  } else {
    rig.encode(aux);
    DecodeTask decode = rig.decode_task(aux);
    decode.scale = 2 / batch;
    decode.aux_coefficient = problem.aux_coefficient;
    rig.backend().decode(decode);
    rig.group(aux);
  }
  latents.pass = LatentPass::accumulate;
  latents.grad_W_enc = rig["grad_W_enc"];
  latents.grad_W_dec = rig["grad_W_dec"];
  latents.grad_b_enc = rig["grad_b_enc"];
  const auto update = [&] {
    dense ? rig.backend().update_latents_dense(latents) : rig.backend().update_latents(latents);
  };
  update();
  latents.pass = LatentPass::norm;  // for the sums that b_dec needs
  latents.add_batch = false;
  update();
  Gradients result;
  for (const char* name : {"W_enc", "W_dec", "b_enc"})
    result[name] = read_all(rig, std::string("grad_") + name);
  std::vector<double>& bias = result["b_dec"];
  const size_t n = static_cast<size_t>(problem.shape.d_in);
  bias.resize(n);
  const std::vector<double> rows = read_all(rig, "block_sums"), sums = read_all(rig, "latent_sums");
  for (size_t i = 0; i < rows.size(); ++i) bias[i % n] += rows[i];
  for (size_t i = 0; i < sums.size(); ++i) bias[i % n] -= sums[i];
  return result;
}

// The loss with the selection, and for the auxiliary loss the residual, held as they are in `rig`.
class FrozenLoss {
 public:
  FrozenLoss(Rig& rig, const Problem& problem) : problem_(problem) {
    index_ = read_all(rig, "codes.index");
    active_ = read_all(rig, "codes.value");
    if (problem.kind != "topk_aux") return;
    aux_index_ = read_all(rig, "aux.index");
    aux_active_ = read_all(rig, "aux.value");
    value_ = problem.values;
    for (int64_t r = 0; r < problem.shape.batch; ++r) residual_.push_back(error(r));
  }

  double operator()(const std::map<std::string, std::vector<double>>& values) {
    value_ = values;
    double loss = 0;
    for (int64_t r = 0; r < problem_.shape.batch; ++r) {
      for (const double e : error(r)) loss += e * e;
      if (problem_.kind == "relu") loss += problem_.l1 * sum_of_codes(r);
      if (residual_.empty()) continue;
      std::vector<double> aux = residual_[static_cast<size_t>(r)];
      add_decoded(r, aux_index_, aux_active_, problem_.shape.aux_k, aux);
      for (const double e : aux) loss += problem_.aux_coefficient * e * e;
    }
    return loss / static_cast<double>(problem_.shape.batch);
  }

 private:
  double at(const char* name, int64_t i) const { return value_.at(name)[static_cast<size_t>(i)]; }
  double code(int64_t r, int64_t j) const {
    const int64_t n = problem_.shape.d_in;
    double pre = at("b_enc", j);
    for (int64_t i = 0; i < n; ++i) pre += (at("x", r * n + i) - at("b_dec", i)) * at("W_enc", j * n + i);
    return pre;
  }
  void add_decoded(int64_t r, const std::vector<double>& index, const std::vector<double>& active, int64_t k,
                   std::vector<double>& out) const {
    for (int64_t s = r * k; s < (r + 1) * k; ++s) {
      if (!(active[static_cast<size_t>(s)] > 0)) continue;
      const auto j = static_cast<int64_t>(index[static_cast<size_t>(s)]);
      const double z = code(r, j);
      for (size_t i = 0; i < out.size(); ++i)
        out[i] += z * at("W_dec", j * problem_.shape.d_in + static_cast<int64_t>(i));
    }
  }
  std::vector<double> error(int64_t r) const {
    std::vector<double> e = value_.at("b_dec");
    add_decoded(r, index_, active_, problem_.shape.k, e);
    for (size_t i = 0; i < e.size(); ++i) e[i] -= at("x", r * problem_.shape.d_in + static_cast<int64_t>(i));
    return e;
  }
  double sum_of_codes(int64_t r) const {
    double sum = 0;
    for (int64_t s = r * problem_.shape.k; s < (r + 1) * problem_.shape.k; ++s)
      if (active_[static_cast<size_t>(s)] > 0)
        sum += code(r, static_cast<int64_t>(index_[static_cast<size_t>(s)]));
    return sum;
  }

  const Problem& problem_;
  std::vector<double> index_, active_, aux_index_, aux_active_;
  std::map<std::string, std::vector<double>> value_;
  std::vector<std::vector<double>> residual_;
};

Problem random_problem(const std::string& kind) {
  Problem problem{kind, {70, 6, 40, kind == "relu" ? 40 : 5, 7}, 0.25, kind == "relu" ? 0.5 : 0.0, {}, {}};
  for (int64_t j = 0; j < 40; j += 3) problem.dead.push_back(j);
  uint64_t stream = 10;
  for (const auto& [name, count] : std::map<std::string, size_t>{
           {"x", 420}, {"W_enc", 240}, {"W_dec", 240}, {"b_enc", 40}, {"b_dec", 6}}) {
    auto& values = problem.values[name];
    for (size_t i = 0; i < count; ++i) values.push_back(random_normal(3, stream, i));
    ++stream;
  }
  return problem;
}

class CentralDifferences : public testing::TestWithParam<const char*> {};

TEST_P(CentralDifferences, AgreeWithReferenceInDouble) {
  const Problem problem = random_problem(GetParam());
  Rig rig(make_reference_backend(problem.shape.d_in, problem.shape.d_sae), problem.shape);
  const Gradients got = gradients(rig, problem);
  FrozenLoss loss(rig, problem);
  constexpr double kStep = 1e-6;
  for (const auto& [name, gradient] : got) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < gradient.size(); ++i) {
      auto values = problem.values;
      values[name][i] += kStep;
      const double up = loss(values);
      values[name][i] -= 2 * kStep;
      const double numeric = (up - loss(values)) / (2 * kStep);
      difference += std::pow(numeric - gradient[i], 2);
      size += numeric * numeric;
    }
    EXPECT_GT(size, 0) << name;
    EXPECT_LT(std::sqrt(difference), 1e-7 * std::sqrt(size)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, CentralDifferences, testing::Values("topk", "topk_aux", "relu"));

class PyTorch : public testing::TestWithParam<std::string> {};

TEST_P(PyTorch, GradientsAgree) {
  try {
    make_backend({"", DType::f32, "", 1, {1, 1, 1, 1, 1}});
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  const char* folder = std::getenv("SAEMILL_SOURCE_DIR");  // of scripts/gpu-check, on another machine
  std::ifstream file(std::string(folder != nullptr ? folder : SAEMILL_SOURCE_DIR) +
                     "/tests/golden/gradients.json");
  const auto golden = nlohmann::json::parse(file);
  for (const auto& entry : golden["cases"])
    for (const char* suffix : {"", "_dense"}) {
      const std::string kind = entry["kind"].get<std::string>() + suffix;
      if (kind == "topk_dense" || kind == "topk_aux_dense") continue;
      const bool relu = kind.starts_with("relu");
      Problem problem{kind,
                      {golden["batch"], golden["d_in"], golden["d_sae"], relu ? golden["d_sae"] : golden["k"],
                       golden["aux_k"]},
                      golden["aux_coefficient"],
                      relu ? golden["l1"].get<double>() : 0.0,
                      golden["dead"].get<std::vector<int64_t>>(),
                      entry["parameters"].get<std::map<std::string, std::vector<double>>>()};
      problem.values["x"] = entry["x"].get<std::vector<double>>();
      const bool reference = GetParam() == "reference";
      const Case fast{"", DType::f32, "", 2, problem.shape};
      const double allowed = reference ? 1e-12 : tolerance(fast);
      Rig rig(
          reference ? make_reference_backend(problem.shape.d_in, problem.shape.d_sae) : make_backend(fast),
          problem.shape);
      const Gradients got = gradients(rig, problem);
      for (const auto& [name, want] : entry["gradients"].items()) {
        double difference = 0, size = 0;
        for (size_t i = 0; i < want.size(); ++i) {
          difference += std::pow(want[i].get<double>() - got.at(name)[i], 2);
          size += std::pow(want[i].get<double>(), 2);
        }
        EXPECT_LT(std::sqrt(difference), allowed * std::sqrt(size)) << kind << " " << name;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, PyTorch, testing::Values("reference", "fast"),
                         [](const auto& parameters) { return parameters.param; });

}  // namespace
}  // namespace saemill
