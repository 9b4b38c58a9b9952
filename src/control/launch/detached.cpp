#include "control/launch/detached.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/launch/spawn.h"

namespace saemill {
namespace {

struct Pipe {
  Fd read_end, write_end;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail(ErrorCode::retry, "cannot make a pipe: {}", std::strerror(errno));
    read_end = Fd(ends[0]), write_end = Fd(ends[1]);
  }
};

ssize_t read_fully(int fd, void* data, size_t size) {
  ssize_t got;
  do {
    got = ::read(fd, data, size);
  } while (got < 0 && errno == EINTR);
  return got;
}

// Runs in the child; only async-signal-safe calls. `go` says that the parent has recorded us; its end without
// a word, that there is no parent any more.
[[noreturn]] void become(const SpawnImage& image, const Pipe& go, const Pipe& failure) {
  ::setsid();
  ::close(go.write_end.get());
  char word = 0;
  if (read_fully(go.read_end.get(), &word, 1) != 1) ::_exit(75);
  image.become();
  const int error = errno;
  const ssize_t written = ::write(failure.write_end.get(), &error, sizeof error);
  ::_exit(written == sizeof error ? 64 : 70);
}

}  // namespace

ProcessId start_detached(const SpawnOptions& options, const std::function<void(const ProcessId&)>& record) {
  const SpawnImage image(options);
  Pipe go, failure;
  const pid_t pid = ::fork();
  if (pid == 0) become(image, go, failure);
  if (pid < 0) fail(ErrorCode::retry, "cannot start a process: {}", std::strerror(errno));
  failure.write_end.reset();
  const ProcessId process{pid, process_start_time(pid)};
  try {
    record(process);
  } catch (...) {
    go.write_end.reset();
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw;
  }
  // Somebody may have killed it meanwhile: then it has ended, as any other does.
  while (::write(go.write_end.get(), "g", 1) < 0 && errno == EINTR) {
  }
  int error = 0;
  if (read_fully(failure.read_end.get(), &error, sizeof error) == sizeof error) {
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    fail(ErrorCode::usage, "cannot run {}: {}", options.command[0], std::strerror(error));
  }
  return process;
}

std::optional<ExitStatus> reap_child(int64_t pid) {
  int raw = 0;
  if (::waitpid(static_cast<pid_t>(pid), &raw, WNOHANG) != pid) return std::nullopt;
  return WIFSIGNALED(raw) ? ExitStatus{0, WTERMSIG(raw)} : ExitStatus{WEXITSTATUS(raw), 0};
}

Fd watch_process(const ProcessId& process) {
  Fd watch(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(process.pid), 0)));
  // The descriptor is of whoever has the pid now; the start time tells whether that is still the one.
  if (watch && has_ended(process.pid, process.start_time)) watch.reset();
  return watch;
}

std::vector<ProcessId> processes_of(int64_t session, const std::string& mark) {
  std::vector<ProcessId> found;
  for (const int64_t pid : all_processes()) {
    const ProcessStat stat = process_stat(pid);
    if (stat.state == '\0' || stat.state == 'Z' || pid == ::getpid()) continue;
    if (stat.session == session || has_in_environment(pid, mark)) found.push_back({pid, stat.start_time});
  }
  return found;
}

void kill_all(const std::vector<ProcessId>& processes) {
  for (const ProcessId& process : processes) {
    const Fd watch = watch_process(process);
    if (watch) ::syscall(SYS_pidfd_send_signal, watch.get(), SIGKILL, nullptr, 0);
  }
}

}  // namespace saemill
