#include "bench_ranks.h"

#include <fcntl.h>
#include <omp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <thread>

#include "bench_training.h"
#include "common/base/clock.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/comm/local_gpu/local_gpu_exchange.h"
#include "rank_device.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kDeadline = 60;
constexpr int kMaxRanks = 64;

MakeDevice shared_gpu(LocalGpuGroup& group, int rank) {
  return [&group, rank](int64_t d_in, int64_t d_sae, const std::string& dtype, Communicator*) {
    CudaBackend cuda = make_cuda_backend(d_in, d_sae, dtype == "bf16" ? DType::bf16 : DType::f32);
    RankDevice device;
    device.memory = DeviceMemory::gpu;
    device.backend = std::move(cuda.backend);
    device.exchange = make_local_gpu_exchange(group, rank, *cuda.compute);
    return device;
  };
}

// Only where every rank has cores of its own.
void pin(int rank, const RanksOptions& options) {
  cpu_set_t allowed, own;
  if (options.gpu || shares_devices(options) || ::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  CPU_ZERO(&own);
  for (int core = 0, seen = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed)) continue;
    if (seen / options.threads == rank) CPU_SET(core, &own);
    ++seen;
  }
  ::sched_setaffinity(0, sizeof own, &own);
}

struct Outcome {
  Json result;
  std::string error;  // "" for none
  int code = 0;
  double at = 0;  // when it failed, by the machine's clock
};

Outcome run_rank(const RanksOptions& options, int rank, int memory_fd, LocalGpuGroup* group,
                 const RankWork& work) {
  omp_set_num_threads(1);  // loops name their own number
  Outcome outcome;
  std::unique_ptr<Communicator> comm;
  try {
    comm = options.ranks == 1 ? make_self_communicator()
                              : make_shm_communicator({memory_fd, rank, options.ranks, kDeadline});
    if (options.gpu) use_gpu_number(group != nullptr ? 0 : rank);
    BenchRank mine{*comm, group != nullptr ? shared_gpu(*group, rank)
                          : options.gpu    ? gpu_device({}, kDeadline)
                                           : cpu_device(options.threads)};
    outcome.result = work(mine);
  } catch (const std::exception& error) {
    const auto* known = dynamic_cast<const Error*>(&error);
    outcome = {{},
               error.what(),
               known ? known->exit_code() : static_cast<int>(ErrorCode::internal),
               monotonic_seconds()};
    const std::string reason = fmt::format("rank {} failed: {}", rank, error.what());
    if (group != nullptr) group->abort(reason);
    if (comm) comm->abort(reason);
  }
  return outcome;
}

// The first rank's result, or the first cause of a failure. What peers of a failed rank say is worth a
// restart, so another code comes before it.
Outcome summary(const std::vector<Outcome>& outcomes) {
  const auto consequence = [](const Outcome& one) { return one.code == static_cast<int>(ErrorCode::retry); };
  const Outcome* first = nullptr;
  for (const Outcome& one : outcomes)
    if (!one.error.empty() &&
        (first == nullptr || std::pair(consequence(one), one.at) < std::pair(consequence(*first), first->at)))
      first = &one;
  return first != nullptr ? *first : outcomes.front();
}

Outcome run_threads(const RanksOptions& options, int memory_fd, const RankWork& work) {
  LocalGpuGroup group(options.ranks, kDeadline);
  std::vector<Outcome> outcomes(static_cast<size_t>(options.ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < options.ranks; ++r)
    threads.emplace_back(
        [&, r] { outcomes[static_cast<size_t>(r)] = run_rank(options, r, memory_fd, &group, work); });
  for (auto& thread : threads) thread.join();
  return summary(outcomes);
}

// A process, and what it will tell.
struct Child {
  pid_t pid = -1;
  int pipe = -1;
};

Child start(const std::function<Outcome()>& body) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(ErrorCode::retry, "no pipe for a rank");
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) fail(ErrorCode::retry, "no process for a rank");
  if (pid > 0) {
    ::close(ends[1]);
    return {pid, ends[0]};
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Outcome outcome = body();
  const std::string text = Json{
      {"result", outcome.result},
      {"error", outcome.error},
      {"code", outcome.code},
      {"at", outcome.at}}.dump();
  for (size_t at = 0; at < text.size();) {
    const ssize_t written = ::write(ends[1], text.data() + at, text.size() - at);
    if (written <= 0) break;
    at += static_cast<size_t>(written);
  }
  ::_exit(0);
}

Outcome finish(const Child& child, size_t number) {
  std::string text;
  char buffer[4096];
  for (ssize_t count = 0; (count = ::read(child.pipe, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(count));
  ::close(child.pipe);
  int status = 0;
  ::waitpid(child.pid, &status, 0);
  const Json told = Json::parse(text, nullptr, false);
  if (told.is_object()) return {told["result"], told["error"], told["code"], told["at"]};
  return {{},
          WIFSIGNALED(status) ? fmt::format("rank {} was ended by signal {}", number, WTERMSIG(status))
                              : fmt::format("rank {} ended without a word", number),
          static_cast<int>(ErrorCode::retry),
          monotonic_seconds()};
}

}  // namespace

void check_ranks(const RanksOptions& options) {
  if (options.ranks < 1 || options.ranks > kMaxRanks)
    fail(ErrorCode::usage, "--ranks has {}; accepted: 1 to {}", options.ranks, kMaxRanks);
  if (options.ranks_per_device == 1) return;
  if (!options.gpu)
    fail(ErrorCode::usage, "--ranks-per-device is {}; it is for --devices gpu", options.ranks_per_device);
  if (options.ranks > options.ranks_per_device)
    fail(ErrorCode::usage, "--ranks has {}, --ranks-per-device is {}: ranks share one GPU, so at least {}",
         options.ranks, options.ranks_per_device, options.ranks);
}

bool shares_devices(const RanksOptions& options) {
  if (options.gpu) return options.ranks_per_device > 1 && options.ranks > 1;
  return options.ranks * options.threads > cores_allowed();
}

Json on_ranks(const RanksOptions& options, const RankWork& work) {
  const int memory = ::memfd_create("saemill-bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory < 0) fail(ErrorCode::retry, "no memory to share between ranks");
  std::vector<Child> children;
  if (options.ranks_per_device > 1) {
    children.push_back(start([&] { return run_threads(options, memory, work); }));
  } else {
    for (int r = 0; r < options.ranks; ++r)
      children.push_back(start([&] {
        pin(r, options);
        return run_rank(options, r, memory, nullptr, work);
      }));
  }
  std::vector<Outcome> outcomes;
  for (const Child& child : children) outcomes.push_back(finish(child, outcomes.size()));
  ::close(memory);
  const Outcome outcome = summary(outcomes);
  if (!outcome.error.empty()) throw Error(static_cast<ErrorCode>(outcome.code), outcome.error);
  return outcome.result;
}

}  // namespace saemill
