#include "common/base/proc.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

namespace saemill {
namespace {

int exit_code(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(PidNamespace, IsAnotherThanTheMachinesFirst) {
  const bool here = std::filesystem::read_symlink("/proc/self/ns/pid") != "pid:[4026531836]";
  EXPECT_EQ(in_pid_namespace(), here);
  constexpr int kNotAllowed = 77;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWPID) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) ::_exit(kNotAllowed);
    const pid_t inside = ::fork();  // the namespace begins with the next child
    if (inside == 0) ::_exit(in_pid_namespace() ? 0 : 1);
    ::_exit(exit_code(inside));
  }
  const int code = exit_code(child);
  if (code == kNotAllowed) GTEST_SKIP() << "no namespaces may be made here";
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace saemill
