#include "control/launch/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/launch/signals.h"

namespace saemill {
namespace {

Process shell(const std::string& script) {
  SpawnOptions options;
  options.command = {"/bin/sh", "-c", script};
  return Process(options);
}

TEST(Process, TellsHowItEnded) {
  EXPECT_EQ(shell("exit 65").wait().code, 65);
  const ExitStatus killed = shell("kill -9 $$").wait();
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_NE(describe(killed).find("signal 9"), std::string::npos);
  EXPECT_FALSE(killed.ok());
}

TEST(Process, AProgramThatCannotRunIsRefused) {
  SpawnOptions options;
  options.command = {"/no/such/program"};
  EXPECT_THROW(Process{options}, Error);
}

TEST(Process, ItsGroupEndsWithIt) {
  pid_t child = 0;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  SpawnOptions options;
  options.command = {"/bin/sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"};
  options.stdout_fd = ends[1];
  Process process(options);
  EXPECT_TRUE(process.wait().ok());
  ::close(ends[1]);
  char text[32] = {};
  ASSERT_GT(::read(ends[0], text, sizeof text - 1), 0);
  ::close(ends[0]);
  child = std::stoi(text);
  // An orphan is reaped by init; until then it is a zombie without a command line.
  for (int i = 0; i < 100 && ::kill(child, 0) == 0; ++i) ::usleep(20000);
  EXPECT_TRUE(process_start_time(child) == 0 || ::kill(child, SIGTERM) == 0);
}

TEST(Process, IsKilledByItsDestructor) {
  pid_t pid = 0;
  {
    const Process process = shell("sleep 1000");
    pid = process.pid();
    EXPECT_GT(process.start_time(), 0);
    EXPECT_TRUE(process.running());
  }
  EXPECT_EQ(process_start_time(pid), 0);  // reaped: not even a zombie
}

TEST(Signals, AreTakenAsData) {
  SignalRequests signals;
  EXPECT_FALSE(signals.next().has_value());
  ::kill(::getpid(), SIGUSR1);
  EXPECT_EQ(signals.next(), SIGUSR1);
  // A child begins with none of them blocked.
  Process process = shell("kill -USR1 $$; exit 0");
  EXPECT_EQ(process.wait().signal, SIGUSR1);
}

}  // namespace
}  // namespace saemill
