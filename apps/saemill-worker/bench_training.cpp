#include "bench_training.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <sstream>

#include "common/base/random.h"
#include "engine/data/convert.h"
#include "engine/gpu/runtime.h"
#include "rank_device.h"

namespace saemill {
namespace {

constexpr int64_t kEndlessSteps = 1'000'000'000;

class RandomActivations final : public ActivationSet {
 public:
  RandomActivations(int64_t d_in, int readers)
      : d_in_(d_in), readers_(readers), values_(static_cast<size_t>(kRows * d_in)) {
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = static_cast<float>(random_normal(1, 1, i));
  }
  int64_t rows() const override { return kRows; }
  int64_t d_in() const override { return d_in_; }
  int readers() const override { return readers_; }
  int64_t files() const override { return 0; }
  int64_t bytes() const override { return static_cast<int64_t>(values_.size() * sizeof(float)); }
  std::string dtype() const override { return "F32"; }
  std::string tensor() const override { return ""; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void read(int64_t row, float scale, std::span<float> out) const override {
    converters_.f32(values_.data() + row * d_in_, d_in_, scale, out.data());
  }

 private:
  static constexpr int64_t kRows = 8192;
  const int64_t d_in_;
  const int readers_;
  const Converters& converters_ = best_converters();
  std::vector<float> values_;
  std::map<std::string, std::string> metadata_;
};

class Until final : public ActivationSet {
 public:
  Until(std::shared_ptr<const ActivationSet> set, int64_t reads) : set_(std::move(set)), left_(reads) {}
  int64_t rows() const override { return set_->rows(); }
  int64_t d_in() const override { return set_->d_in(); }
  int readers() const override { return set_->readers(); }
  int64_t files() const override { return set_->files(); }
  int64_t bytes() const override { return set_->bytes(); }
  std::string dtype() const override { return set_->dtype(); }
  std::string tensor() const override { return set_->tensor(); }
  const std::map<std::string, std::string>& metadata() const override { return set_->metadata(); }
  void read(int64_t row, float scale, std::span<float> out) const override {
    if (left_ > 0) set_->read(row, scale, out), --left_;
  }

 private:
  std::shared_ptr<const ActivationSet> set_;
  mutable std::atomic<int64_t> left_;
};

std::vector<int64_t> parse_shape(const std::string& text) {
  std::vector<int64_t> shape;
  std::stringstream fields(text);
  for (std::string field; std::getline(fields, field, ',');)
    shape.push_back(field.empty() || field.find_first_not_of("0123456789") != std::string::npos
                        ? 0
                        : std::stoll(field.substr(0, 15)));
  if (shape.size() != 4 || text.ends_with(',') || *std::min_element(shape.begin(), shape.end()) < 1)
    fail(ErrorCode::usage, "--shape is \"{}\"; accepted: B,n,M,k, whole numbers from 1", text);
  return shape;
}

}  // namespace

BenchSetup make_setup(const BenchShape& options) {
  const auto shape = parse_shape(options.shape);
  const auto architectures = architecture_names();
  if (std::find(architectures.begin(), architectures.end(), options.architecture) == architectures.end())
    fail(ErrorCode::usage, "--arch is \"{}\"; accepted: {}", options.architecture,
         fmt::join(architectures, ", "));
  if (options.dtype != "bf16" && options.dtype != "f32")
    fail(ErrorCode::usage, "--dtype is \"{}\"; accepted: bf16, f32", options.dtype);
  BenchSetup setup;
  setup.d_in = shape[1];
  RunConfig& config = setup.config;
  config.sae.architecture = options.architecture;
  config.sae.d_sae = shape[2];
  config.sae.k = shape[3];
  config.sae.decoder_bias_init = "zeros";
  // A bench is longer than the default, and its figures are those of steps without dead latents.
  config.sae.dead_after = std::numeric_limits<int64_t>::max() / 2;
  config.train.batch_size = shape[0];
  config.train.dtype = options.dtype;
  config.train.steps = kEndlessSteps;
  config.train.lr = 1e-4;
  return setup;
}

BenchDevice parse_device(const std::string& text, bool indexed) {
  if (!indexed && (text == "cpu" || text == "gpu")) return {text == "gpu", 0};
  if (indexed && text == "cpu:0") return {};
  const std::string number = text.starts_with("gpu:") ? text.substr(4) : "";
  if (indexed && !number.empty() && number.size() < 4 &&
      number.find_first_not_of("0123456789") == std::string::npos)
    return {true, std::stoi(number)};
  fail(ErrorCode::usage, "--devices is \"{}\"; accepted: {}", text, indexed ? "cpu:0, gpu:K" : "cpu, gpu");
}

void use_gpu_number(int index) {
  if (const std::string problem = gpu::unavailable(); !problem.empty())
    fail(ErrorCode::bad_config, "{}", problem);
  const auto& devices = gpu::devices();
  if (static_cast<size_t>(index) >= devices.size())
    fail(ErrorCode::bad_config, "gpu:{} is asked for; CUDA shows {} GPU(s)", index, devices.size());
  use_gpu(devices[static_cast<size_t>(index)].uuid);
}

int cores_allowed() {
  cpu_set_t cores;
  return ::sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

std::shared_ptr<const ActivationSet> random_activations(int64_t d_in, int readers) {
  return std::make_shared<RandomActivations>(d_in, readers);
}

std::shared_ptr<const ActivationSet> until(std::shared_ptr<const ActivationSet> set, int64_t reads) {
  return std::make_shared<Until>(std::move(set), reads);
}

BenchTraining::BenchTraining(const BenchTrainingOptions& options, const MakeDevice& device,
                             Communicator& comm)
    : setup_(options.setup),
      comm_(comm),
      device_(device(setup_.d_in, setup_.config.sae.d_sae, setup_.config.train.dtype, &comm)),
      plan_(make_plan({setup_.config, setup_.d_in, comm.size(), options.threads,
                       device_.backend->packed_chunk_bytes(), device_.memory})),
      share_(share_of(plan_.micro_batch_size, setup_.config.sae.d_sae, comm.rank(), comm.size())),
      arena_(plan_, comm, *device_.backend, share_.first_latent),
      architecture_(make_architecture(setup_.config.sae)),
      state_(arena_, share_),
      step_(
          {setup_.config, plan_, arena_, *architecture_, *device_.backend, comm, *device_.exchange, state_}) {
  const DataStart start{1, std::vector<float>(static_cast<size_t>(setup_.d_in))};
  initialize_state(state_, setup_.config, *architecture_, start, backend(), comm);
  // Pre-activations of random rows are normal, so this is far above them all.
  const std::vector<float> bias(static_cast<size_t>(options.hot), 10.0f);
  backend().write(state_.weights.b_enc.data, bias.data(), bias.size() * sizeof(float));
  backend().pack(state_.weights, state_.packed, share_.first_latent, share_.last_latent);
  step_.share_state();
  std::vector<std::span<float>> slots;
  for (const char* name : {"x.0", "x.1"})
    slots.emplace_back(arena_[name].as<float>(), arena_[name].bytes() / sizeof(float));
  // Twice, since several threads do not read them in order.
  const int64_t reads = 2 * (arena_["x.0"].rows + arena_["x.1"].rows);
  const auto set = options.same_batch ? until(options.set, reads) : options.set;
  loader_.emplace(
      set,
      BatchLoaderOptions{
          {set->rows()}, plan_.micro_batch_size, share_.first_row, share_.last_row, 0, kEndlessSteps, 1.0f},
      slots);
}

void BenchTraining::step(bool log) {
  StepInput input;
  input.adam = {setup_.config.train.lr, 0.9, 0.999, 1e-8, state_.step + 1};
  input.l1 = setup_.config.sae.l1_coefficient;
  input.log = log;
  step_.run(*loader_, input);
}

int64_t BenchTraining::most_hits() {
  const Codes& codes = step_.codes();
  const auto slots = static_cast<size_t>(codes.index.rows * codes.index.cols);
  std::vector<int32_t> index(slots);
  std::vector<float> value(slots);
  backend().read(index.data(), codes.index.data, slots * sizeof(int32_t));
  backend().read(value.data(), codes.value.data, slots * sizeof(float));
  std::vector<int64_t> hits(static_cast<size_t>(setup_.config.sae.d_sae));
  for (size_t s = 0; s < slots; ++s)
    if (value[s] > 0) ++hits[static_cast<size_t>(index[s])];
  return *std::max_element(hits.begin(), hits.end());
}

void BenchTraining::wait() {
  device_.exchange->finish();
  step_.ensure_finite();  // reads a result of the last step
  comm_.barrier();
}

}  // namespace saemill
