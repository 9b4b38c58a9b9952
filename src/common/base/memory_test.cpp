#include "common/base/memory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "common/base/temporary_folder.h"

namespace saemill {
namespace {

class MemoryTest : public ::testing::Test {
 protected:
  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((folder_ / file).parent_path());
    std::ofstream(folder_ / file) << text;
  }
  void add_group(const fs::path& group, const std::string& most, int64_t used, int64_t files) const {
    write("groups" / group / "memory.max", most + "\n");
    write("groups" / group / "memory.current", std::to_string(used) + "\n");
    write("groups" / group / "memory.stat", "anon 5\ninactive_file " + std::to_string(files) + "\nshmem 3\n");
  }
  Memory read() const { return read_memory(folder_ / "proc", folder_ / "groups"); }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
};

TEST_F(MemoryTest, TheMachineWhereNothingLimitsIt) {
  write("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 7 kB\nMemAvailable:  600 kB\n");
  EXPECT_EQ(read().total, 1000 * 1024);
  EXPECT_EQ(read().available, 600 * 1024);
  write("proc/self/cgroup", "0::/a.slice/b.scope\n");
  add_group("a.slice/b.scope", "max", 10, 0);
  EXPECT_EQ(read().available, 600 * 1024);
}

TEST_F(MemoryTest, TheLeastOfItsGroupsWithoutWhatFilesHold) {
  write("proc/meminfo", "MemTotal:  1000 kB\nMemAvailable:  600 kB\n");
  write("proc/self/cgroup", "1:name=systemd:/x\n0::/a.slice/b.scope\n");
  add_group("a.slice/b.scope", "500000", 300000, 100000);
  EXPECT_EQ(read().total, 500000);
  EXPECT_EQ(read().available, 300000);
  add_group("a.slice", "400000", 350000, 0);
  EXPECT_EQ(read().total, 400000);
  EXPECT_EQ(read().available, 50000);
  add_group("a.slice/c.scope", "10", 0, 0);
  EXPECT_EQ(read().total, 400000) << "that is another's";
  add_group("", "90", 100, 0);  // a container's own, seen from inside; over its limit for a moment
  EXPECT_EQ(read().total, 90);
  EXPECT_EQ(read().available, 0);
}

TEST_F(MemoryTest, UnknownIsNoLimit) {
  EXPECT_EQ(read().available, std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace saemill
