#include "control/launch/orphans.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <set>
#include <thread>

#include "common/base/proc.h"

namespace saemill {
namespace {

constexpr int kRounds = 500;  // of 10 ms: a kill takes as long as the kernel's longest sleep in a driver
constexpr int kDying = 3;     // rounds in which what was killed with its group may still be seen

// Those that are not zombies. Children first seen are killed first; what a killed one leaves behind comes to
// us.
std::set<int64_t> living_descendants() {
  std::set<int64_t> found;
  for (const int64_t pid : all_processes()) {
    const ProcessStat stat = process_stat(pid);
    if (stat.state != 'Z' && pid != ::getpid() && descends_from(stat.parent, ::getpid())) found.insert(pid);
  }
  return found;
}

}  // namespace

Orphans::Orphans() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

Orphans::~Orphans() {
  end_all();
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

int Orphans::end_all() {
  std::set<int64_t> killed;
  for (int round = 0; round < kRounds; ++round) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    const auto living = living_descendants();
    if (living.empty()) break;
    if (round >= kDying) {
      for (const int64_t pid : living) ::kill(static_cast<pid_t>(pid), SIGKILL);
      killed.insert(living.begin(), living.end());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return static_cast<int>(killed.size());
}

}  // namespace saemill
