// saemill-worker probe: takes of a GPU what a small training takes and holds it, so that somebody else can
// read from the driver what the process holds besides.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench_training.h"
#include "commands.h"
#include "rank_device.h"

namespace saemill {
namespace {

int probe(const std::string& uuid) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  use_gpu(uuid);
  const auto comm = make_self_communicator();
  const BenchSetup setup = make_setup({.shape = "256,64,1024,8", .architecture = "topk", .dtype = "bf16"});
  BenchTraining training({.setup = setup, .set = random_activations(setup.d_in)}, gpu_device({}, 60), *comm);
  for (int step = 0; step < 3; ++step) training.step();  // every kernel is loaded
  training.wait();
  int64_t planned = 0;
  for (const PlannedBuffer& buffer : training.plan().buffers)
    if (!buffer.host && !buffer.shared) planned += buffer.bytes();
  std::printf("%s\n", nlohmann::json{{"plan_bytes", planned}}.dump().c_str());
  std::fflush(stdout);
  ::pause();  // until whoever asked has looked, and ends this
  return 0;
}

}  // namespace

void add_probe(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("probe", "Holds what a small training holds; for saemill estimate --calibrate");
  static std::string uuid;
  command->add_option("--uuid", uuid)->required();
  command->callback([&run] { run = [] { return probe(uuid); }; });
}

}  // namespace saemill
