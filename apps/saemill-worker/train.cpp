#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>

#include "commands.h"
#include "common/base/error.h"
#include "engine/data/batch_loader.h"
#include "engine/train/trainer.h"
#include "pipe_reporter.h"
#include "rank_device.h"

namespace saemill {
namespace {

struct Options {
  std::string run, device = "cpu:0", uuid;
  int rank = 0, world_size = 1, report_fd = -1, memory_fd = -1, threads = 0;
  int64_t resume_step = -1;
  double deadline = 60;
  bool finish = false;
};

std::atomic<int> request{0};

// The stronger request wins; a rank other than 0 does as rank 0 tells it.
void on_signal(int signal) {
  const int asked = static_cast<int>(signal == SIGUSR1   ? Request::checkpoint
                                     : signal == SIGUSR2 ? Request::finish
                                                         : Request::pause);
  int before = request.load();
  while (before < asked && !request.compare_exchange_weak(before, asked)) {
  }
}

void install_signals(bool rank0) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  if (!rank0) action.sa_handler = SIG_IGN;
  for (const int signal : {SIGTERM, SIGUSR1, SIGUSR2}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
}

int cores_allowed() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

std::shared_ptr<const ActivationSet> open_activations(const ActivationsConfig& config, bool gpu,
                                                      Communicator& comm) {
  const LongWork reading(comm);  // the head of every shard
  return ActivationSet::open(config.path, config.tensor, loader_threads(gpu, cores_allowed()));
}

int run_train(const Options& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // as the launcher did before exec(), and saw that it was there still
  install_signals(options.rank == 0);
  PipeReporter reporter(options.report_fd, options.rank);
  std::unique_ptr<Communicator> comm;
  try {
    comm =
        options.world_size == 1
            ? make_self_communicator()
            : make_shm_communicator({options.memory_fd, options.rank, options.world_size, options.deadline});
    TrainerOptions trainer;
    trainer.run = options.run;
    trainer.config = load_run_config(trainer.run / "config.json", {});
    trainer.threads = options.threads > 0 ? options.threads : cores_allowed();
    const bool gpu = options.device.starts_with("gpu");
    trainer.device =
        gpu ? gpu_device(trainer.config.parallel, options.deadline) : cpu_device(trainer.threads);
    if (gpu) use_gpu(options.uuid);
    if (options.resume_step >= 0) trainer.resume_step = options.resume_step;
    trainer.finish = options.finish;
    trainer.request = &request;
    const auto set = open_activations(trainer.config.activations, gpu, *comm);
    const Outcome outcome = train(trainer, set, *comm, reporter);
    return outcome == Outcome::paused ? static_cast<int>(ErrorCode::cancelled) : 0;
  } catch (const std::exception& error) {
    const auto* known = dynamic_cast<const Error*>(&error);
    const int code = known ? known->exit_code() : static_cast<int>(ErrorCode::internal);
    reporter.report(
        {{"event", "failed"}, {"code", code}, {"reason", error.what()}, {"phase", reporter.phase()}});
    if (comm) comm->abort(fmt::format("rank {} failed: {}", options.rank, error.what()));
    throw;
  }
}

}  // namespace

void add_train(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "One rank of a training; started by saemill train");
  command->add_option("--run", options->run, "The run folder, with its config.json")->required();
  command->add_option("--rank", options->rank)->required();
  command->add_option("--world-size", options->world_size)->required();
  command->add_option("--device", options->device, "cpu:K or gpu:K");
  command->add_option("--uuid", options->uuid, "Of a GPU");
  command->add_option("--report-fd", options->report_fd)->required();
  command->add_option("--memory-fd", options->memory_fd);
  command->add_option("--resume-step", options->resume_step);
  command->add_flag("--finish", options->finish, "Export what --resume-step has, without a further step");
  command->add_option("--deadline", options->deadline, "Seconds that a rank waits for its peers");
  command->add_option("--threads", options->threads, "0: the cores of the affinity mask");
  command->callback([options, &run] { run = [options] { return run_train(*options); }; });
}

}  // namespace saemill
