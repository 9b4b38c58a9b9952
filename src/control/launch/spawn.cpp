#include "control/launch/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/base/error.h"

namespace saemill {
namespace {

constexpr int kCloseRangeCloexec =
    1 << 2;  // CLOSE_RANGE_CLOEXEC: glibc has the call, but not in every version the name

void reset_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &plain, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool is_set_anew(const SpawnOptions& options, const char* own) {
  return std::any_of(options.environment.begin(), options.environment.end(), [&](const std::string& entry) {
    return std::strncmp(own, entry.c_str(), entry.find('=') + 1) == 0;
  });
}

}  // namespace

SpawnImage::SpawnImage(const SpawnOptions& options) : options_(options) {
  for (const auto& argument : options.command) arguments_.push_back(const_cast<char*>(argument.c_str()));
  arguments_.push_back(nullptr);
  for (char** own = environ; *own != nullptr; ++own)
    if (!is_set_anew(options, *own)) environment_.push_back(*own);
  for (const std::string& entry : options.environment)
    environment_.push_back(const_cast<char*>(entry.c_str()));
  environment_.push_back(nullptr);
  if (options.cores.empty()) return;
  const auto capacity = static_cast<size_t>(options.cores.back()) + 1;
  mask_ = CPU_ALLOC(capacity);
  ensure(mask_ != nullptr, "no memory for an affinity mask");
  mask_bytes_ = CPU_ALLOC_SIZE(capacity);
  CPU_ZERO_S(mask_bytes_, mask_);
  for (const int core : options.cores) CPU_SET_S(static_cast<size_t>(core), mask_bytes_, mask_);
}

SpawnImage::~SpawnImage() {
  if (mask_ != nullptr) CPU_FREE(mask_);
}

void SpawnImage::become() const {
  if (mask_ != nullptr) ::sched_setaffinity(0, mask_bytes_, mask_);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  bool ready = null >= 0 && ::dup2(null, STDIN_FILENO) >= 0;
  if (options_.stdout_fd >= 0) ready = ready && ::dup2(options_.stdout_fd, STDOUT_FILENO) >= 0;
  if (options_.stderr_fd >= 0) ready = ready && ::dup2(options_.stderr_fd, STDERR_FILENO) >= 0;
  // Also what this program was started with by somebody who did not say close-on-exec (not known before
  // Linux 5.11).
  ::close_range(3, ~0U, kCloseRangeCloexec);
  for (const int fd : options_.inherit) ready = ready && ::fcntl(fd, F_SETFD, 0) == 0;
  if (!ready) return;
  reset_signals();
  ::execve(arguments_[0], arguments_.data(), environment_.data());
}

}  // namespace saemill
