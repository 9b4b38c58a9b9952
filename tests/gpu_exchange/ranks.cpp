#include "ranks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

#include "common/base/clock.h"
#include "engine/comm/nccl/nccl_exchange.h"

namespace saemill {
namespace {

void run_rank(const Setting& setting, LocalGpuGroup& group, int fd, int r,
              std::vector<std::shared_ptr<void>>& kept, const std::function<void(Rank&)>& body) {
  const int size = setting.transport.ranks;
  gpu::use_device(setting.transport.nccl ? r : 0);
  const auto host =
      make_shm_communicator({.memory_fd = fd, .rank = r, .size = size, .deadline_seconds = setting.deadline});
  const gpu::Stream compute;
  std::unique_ptr<Exchange> exchange;
  if (setting.transport.nccl) {
    const auto other = setting.libraries.find(r);
    exchange =
        make_nccl_exchange({.host = *host,
                            .compute = compute,
                            .piece_bytes = setting.piece_bytes,
                            .deadline_seconds = setting.deadline,
                            .variables = setting.variables,
                            .library = other == setting.libraries.end() ? nccl_library() : other->second});
  } else {
    exchange = make_local_gpu_exchange(group, r, compute, {setting.piece_bytes});
  }
  Rank rank{r, size, *host, compute, *exchange, group, kept};
  body(rank);
}

}  // namespace

std::vector<Outcome> on_ranks(const Setting& setting, const std::function<void(Rank&)>& body) {
  const int size = setting.transport.ranks;
  prepare(setting.transport, setting.scenario, nccl_library());
  for (const auto& [rank, library] : setting.libraries) prepare(setting.transport, setting.scenario, library);
  const int fd = ::memfd_create("saemill-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  LocalGpuGroup group(size, setting.deadline);
  std::vector<Outcome> outcomes(static_cast<size_t>(size));
  std::vector<std::vector<std::shared_ptr<void>>> kept(outcomes.size());
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      Outcome& outcome = outcomes[static_cast<size_t>(r)];
      const double start = monotonic_seconds();
      try {
        run_rank(setting, group, fd, r, kept[static_cast<size_t>(r)], body);
      } catch (const Error& error) {
        outcome.message = error.what();
        outcome.code = error.code();
      } catch (const std::exception& error) {
        outcome.message = error.what();
      }
      outcome.seconds = monotonic_seconds() - start;
    });
  for (auto& thread : threads) thread.join();
  ::close(fd);
  return outcomes;
}

void expect_no_errors(const std::vector<Outcome>& outcomes) {
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.message, "");
}

void expect_error(const Outcome& outcome, ErrorCode code, const std::vector<std::string>& parts,
                  double within) {
  EXPECT_EQ(outcome.code, code) << outcome.message;
  for (const auto& part : parts)
    EXPECT_NE(outcome.message.find(part), std::string::npos) << "no '" << part << "' in: " << outcome.message;
  EXPECT_LT(outcome.seconds, within) << outcome.message;
}

}  // namespace saemill
