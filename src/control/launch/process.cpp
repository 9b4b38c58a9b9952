#include "control/launch/process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/launch/fd.h"

namespace saemill {
namespace {

constexpr int kCloseRangeCloexec =
    1 << 2;  // CLOSE_RANGE_CLOEXEC: glibc has the call, but not in every version the name

struct Prepared {
  std::vector<char*> arguments;
  std::vector<char*> environment;
  cpu_set_t* mask = nullptr;
  size_t mask_bytes = 0;
};

// Everything that allocates is done before fork().
Prepared prepare(const SpawnOptions& options) {
  Prepared prepared;
  for (const auto& argument : options.command)
    prepared.arguments.push_back(const_cast<char*>(argument.c_str()));
  prepared.arguments.push_back(nullptr);
  const auto set_anew = [&](const char* own) {
    return std::any_of(options.environment.begin(), options.environment.end(), [&](const std::string& entry) {
      return std::strncmp(own, entry.c_str(), entry.find('=') + 1) == 0;
    });
  };
  for (char** own = environ; *own != nullptr; ++own)
    if (!set_anew(*own)) prepared.environment.push_back(*own);
  for (const std::string& entry : options.environment)
    prepared.environment.push_back(const_cast<char*>(entry.c_str()));
  prepared.environment.push_back(nullptr);
  if (options.cores.empty()) return prepared;
  const auto capacity = static_cast<size_t>(options.cores.back()) + 1;
  prepared.mask = CPU_ALLOC(capacity);
  ensure(prepared.mask != nullptr, "no memory for an affinity mask");
  prepared.mask_bytes = CPU_ALLOC_SIZE(capacity);
  CPU_ZERO_S(prepared.mask_bytes, prepared.mask);
  for (const int core : options.cores)
    CPU_SET_S(static_cast<size_t>(core), prepared.mask_bytes, prepared.mask);
  return prepared;
}

void reset_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &plain, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Runs in the child; only async-signal-safe calls. Reports errno through `failure` if exec does not happen.
[[noreturn]] void become(const SpawnOptions& options, const Prepared& prepared, pid_t parent, int failure) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(75);  // the launcher died between fork() and prctl()
  if (prepared.mask != nullptr) ::sched_setaffinity(0, prepared.mask_bytes, prepared.mask);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  bool ready = null >= 0 && ::dup2(null, STDIN_FILENO) >= 0;
  if (options.stdout_fd >= 0) ready = ready && ::dup2(options.stdout_fd, STDOUT_FILENO) >= 0;
  if (options.stderr_fd >= 0) ready = ready && ::dup2(options.stderr_fd, STDERR_FILENO) >= 0;
  // Also what this program was started with by somebody who did not say close-on-exec (not known before
  // Linux 5.11).
  ::close_range(3, ~0U, kCloseRangeCloexec);
  for (const int fd : options.inherit) ready = ready && ::fcntl(fd, F_SETFD, 0) == 0;
  if (ready) {
    reset_signals();
    ::execve(prepared.arguments[0], prepared.arguments.data(), prepared.environment.data());
  }
  const int error = errno;
  const ssize_t written = ::write(failure, &error, sizeof error);
  ::_exit(written == sizeof error ? 64 : 70);
}

}  // namespace

std::string describe(const ExitStatus& status) {
  if (status.signal == 0) return fmt::format("exited with code {}", status.code);
  return fmt::format("was killed by signal {} ({})", status.signal, ::strsignal(status.signal));
}

Process::Process(const SpawnOptions& options) {
  const Prepared prepared = prepare(options);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(ErrorCode::retry, "cannot make a pipe: {}", std::strerror(errno));
  Fd result(ends[0]);
  Fd failure(ends[1]);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become(options, prepared, parent, failure.get());
  const int fork_error = errno;
  if (prepared.mask != nullptr) CPU_FREE(prepared.mask);
  if (pid_ < 0) fail(ErrorCode::retry, "cannot start a process: {}", std::strerror(fork_error));
  failure.reset();
  int error = 0;
  ssize_t got;
  do {
    got = ::read(result.get(), &error, sizeof error);  // end of file: exec closed it
  } while (got < 0 && errno == EINTR);
  if (got == sizeof error) {
    wait();
    fail(ErrorCode::usage, "cannot run {}: {}", options.command[0], std::strerror(error));
  }
  start_time_ = process_start_time(pid_);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), start_time_(other.start_time_), status_(other.status_) {}

Process::~Process() {
  if (!running()) return;
  kill_group();
  reap(0);
}

void Process::signal(int number) {
  if (running()) ::kill(pid_, number);  // not reaped yet, so the pid is still ours
}

void Process::kill_group() {
  if (!running()) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
}

const std::optional<ExitStatus>& Process::poll_exit() {
  return reap(WNOHANG);
}

ExitStatus Process::wait() {
  return *reap(0);
}

const std::optional<ExitStatus>& Process::reap(int options) {
  if (!running()) return status_;
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | options) != 0) {
    ensure(errno == EINTR, "waitid on our own child failed");
  }
  if (info.si_pid == 0) return status_;
  ::kill(-pid_,
         SIGKILL);  // its own children, while the unreaped pid still keeps the group's number from reuse
  int raw = 0;
  while (::waitpid(pid_, &raw, 0) < 0) ensure(errno == EINTR, "waitpid on our own child failed");
  status_ = WIFSIGNALED(raw) ? ExitStatus{0, WTERMSIG(raw)} : ExitStatus{WEXITSTATUS(raw), 0};
  return status_;
}

}  // namespace saemill
