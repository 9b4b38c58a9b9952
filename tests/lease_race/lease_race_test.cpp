// Two server processes with 100 clients each race for eight devices. Exclusivity is proven by lease_racer
// without the database. SAEMILL_RACE_CLIENTS: another number of clients per process.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/proc.h"
#include "control/store/leases.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;

constexpr int kTurns = 3;

int clients() {
  const char* number = std::getenv("SAEMILL_RACE_CLIENTS");
  return number ? std::atoi(number) : 100;
}

// One run of lease_racer. Killed when this ends before it.
class Racer {
 public:
  Racer(const std::string& url, const fs::path& folder, int seed) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw std::runtime_error("pipe2");
    const std::string program = SAEMILL_BIN_DIR "/lease_racer";
    const std::string number = std::to_string(clients()), seed_text = std::to_string(seed);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(126);
      ::dup2(pipe[1], STDOUT_FILENO);
      ::fcntl(STDOUT_FILENO, F_SETFL, 0);
      ::execl(program.c_str(), program.c_str(), url.c_str(), folder.c_str(), number.c_str(),
              seed_text.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(pipe[1]);
    dots_ = pipe[0];
  }
  ~Racer() {
    if (running()) kill();
    ::close(dots_);
  }
  Racer(const Racer&) = delete;
  Racer& operator=(const Racer&) = delete;

  // Gangs granted so far.
  int64_t granted() {
    std::array<char, 4096> buffer{};
    for (ssize_t size = 0; (size = ::read(dots_, buffer.data(), buffer.size())) > 0;) granted_ += size;
    return granted_;
  }
  bool running() {
    granted();  // or the pipe would fill
    if (!status_ && ::waitpid(pid_, &wait_status_, WNOHANG) == pid_) status_ = wait_status_;
    return !status_;
  }
  int exit_code() const { return status_ && WIFEXITED(*status_) ? WEXITSTATUS(*status_) : -1; }
  pid_t pid() const { return pid_; }
  void kill() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &wait_status_, 0);
    status_ = wait_status_;
  }

 private:
  pid_t pid_ = -1;
  int dots_ = -1;
  int64_t granted_ = 0;
  int wait_status_ = 0;
  std::optional<int> status_;
};

class LeaseRace : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    proofs_ = folder_ / "proofs";
    fs::create_directory(proofs_);
    begin_ = monotonic_seconds();
    start(0);
    start(1);
  }
  void TearDown() override {
    for (auto& racer : racers_) racer.reset();
    database_.reset();
    StoreTest::TearDown();
  }

  void start(size_t which) { racers_[which] = std::make_unique<Racer>(url_, proofs_, ++seed_); }

  void pause() const { ::poll(nullptr, 0, 1); }

  // Kills it at a moment when it holds something. False: it ended before.
  bool kill_while_it_holds(size_t which, int64_t after_gangs) {
    Racer& racer = *racers_[which];
    const Leases leases(*database_);
    for (; racer.running(); pause()) {
      if (racer.granted() < after_gangs) continue;
      ::kill(racer.pid(), SIGSTOP);
      const auto active = leases.active();
      const bool holds = std::any_of(active.begin(), active.end(), [&](const Lease& lease) {
        return lease.holder.server_pid == racer.pid();
      });
      if (holds) {
        racer.kill();
        return true;
      }
      ::kill(racer.pid(), SIGCONT);
    }
    return false;
  }

  void expect_a_clean_end() {
    for (; racers_[0]->running() || racers_[1]->running(); pause()) {
      ASSERT_LT(monotonic_seconds() - begin_, 290) << "the race does not end";
    }
    for (auto& racer : racers_) {
      EXPECT_EQ(racer->exit_code(), 0);
      EXPECT_EQ(racer->granted(), kTurns * clients());
    }
    EXPECT_TRUE(Leases(*database_).active().empty());
    for (const auto& entry : fs::directory_iterator(proofs_)) EXPECT_EQ(entry.path().filename(), "lock");
    std::printf("%.1f s\n", monotonic_seconds() - begin_);
  }

  std::unique_ptr<Database> database_;
  fs::path proofs_;
  std::array<std::unique_ptr<Racer>, 2> racers_;
  int seed_ = 0;
  double begin_ = 0;
};
SAEMILL_STORE_TESTS(LeaseRace);

TEST_P(LeaseRace, NobodyHoldsWhatAnotherHolds) {
  expect_a_clean_end();
}

TEST_P(LeaseRace, NorWhenProcessesAreKilled) {
  for (int64_t round = 0; round < 4; ++round) {
    const auto victim = static_cast<size_t>(round % 2);
    ASSERT_TRUE(kill_while_it_holds(victim, clients() * (1 + round % 3) / 4)) << "round " << round;
    start(victim);
  }
  expect_a_clean_end();
}

}  // namespace
}  // namespace saemill
