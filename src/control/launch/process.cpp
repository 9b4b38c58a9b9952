#include "control/launch/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/launch/fd.h"
#include "control/launch/spawn.h"

namespace saemill {
namespace {

// Runs in the child; only async-signal-safe calls. Reports errno through `failure` if exec does not happen.
[[noreturn]] void become(const SpawnImage& image, pid_t parent, int failure) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(75);  // the launcher died between fork() and prctl()
  image.become();
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
  const SpawnImage image(options);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(ErrorCode::retry, "cannot make a pipe: {}", std::strerror(errno));
  Fd result(ends[0]);
  Fd failure(ends[1]);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become(image, parent, failure.get());
  const int fork_error = errno;
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
