#include "watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>

#include "common/base/error.h"

namespace saemill {
namespace {

// Clears the end of each line, and what was below.
std::string over_the_one_before(std::string text) {
  for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 4))
    text.insert(at, "\x1b[K");
  return "\x1b[H" + text + "\x1b[J";
}

}  // namespace

Interrupt::Interrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT), sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signals_ = Fd(::signalfd(-1, &signals, SFD_CLOEXEC));
  ensure(static_cast<bool>(signals_), "no signalfd");
}

bool Interrupt::within(double seconds) const {
  pollfd polled{signals_.get(), POLLIN, 0};
  return ::poll(&polled, 1, static_cast<int>(seconds * 1e3)) > 0;
}

int watch(const Interrupt& interrupt, double interval, bool lines, const std::function<std::string()>& text) {
  const bool in_place = ::isatty(STDOUT_FILENO) == 1 && !lines;
  if (in_place) put("\x1b[2J");
  do {
    put(in_place ? over_the_one_before(text()) : text());
    if (std::ferror(stdout) != 0) break;  // nobody reads any more
  } while (!interrupt.within(interval));
  return 0;
}

void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace saemill
