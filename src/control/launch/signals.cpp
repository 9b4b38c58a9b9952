#include "control/launch/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/error.h"

namespace saemill {

SignalRequests::SignalRequests() {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD}) ::sigaddset(&wanted, number);
  // A blocked signal is delivered even where it is ignored, so nohup must be asked after first.
  struct sigaction hangup {};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) ::sigaddset(&wanted, SIGHUP);
  fd_ = Fd(::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd_) fail(ErrorCode::retry, "cannot watch for signals: {}", std::strerror(errno));
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_before_);
  // Where SIGCHLD is ignored the kernel reaps by itself, and no death could be proven.
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &plain, nullptr);
  ::sigprocmask(SIG_BLOCK, &wanted, &before_);
}

SignalRequests::~SignalRequests() {
  while (next()) {
    // What is still pending was meant for a run that is over; unblocking must not let it end the program.
  }
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
}

std::optional<int> SignalRequests::next() {
  signalfd_siginfo info{};
  while (true) {
    const ssize_t n = ::read(fd_.get(), &info, sizeof info);
    if (n == sizeof info) return static_cast<int>(info.ssi_signo);
    if (n < 0 && errno == EINTR) continue;
    return std::nullopt;
  }
}

}  // namespace saemill
