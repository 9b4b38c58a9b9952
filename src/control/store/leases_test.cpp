#include "control/store/leases.h"

#include <gtest/gtest.h>
#include <soci/soci.h>

#include <atomic>
#include <set>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

LeaseHolder holder_of(const std::string& job) {
  return {.job_id = job,
          .job_type = "training",
          .server_id = "server-1",
          .host = "here",
          .boot_id = "boot-1",
          .server_pid = 77,
          .server_start_time = int64_t{1} << 40};
}

std::vector<std::string> uuids_of(const std::vector<Lease>& leases) {
  std::vector<std::string> uuids;
  for (const Lease& lease : leases) uuids.push_back(lease.uuid);
  return uuids;
}

using Uuids = std::vector<std::string>;

class LeasesTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    leases_ = std::make_unique<Leases>(*database_);
  }
  void TearDown() override {
    leases_.reset();
    database_.reset();
    StoreTest::TearDown();
  }
  // release_dead of this host, where only these pids are alive.
  Uuids end_all_but(const std::set<int64_t>& alive, const std::string& boot = "boot-1") {
    return uuids_of(leases_->release_dead("here", boot, [&](int64_t pid, int64_t start) {
      return start == (int64_t{1} << 40) && alive.contains(pid);
    }));
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<Leases> leases_;
};
SAEMILL_STORE_TESTS(LeasesTest);

TEST_P(LeasesTest, WritesDownTheHolder) {
  const auto before = static_cast<int64_t>(epoch_seconds());
  LeaseHolder holder = holder_of("job");
  holder.pid = 12;
  holder.start_time = 9007199254740993;
  EXPECT_TRUE(leases_->take({"gpu-b", "gpu-a"}, holder).empty());
  const auto active = leases_->active();
  EXPECT_EQ(uuids_of(active), (Uuids{"gpu-a", "gpu-b"}));
  for (const Lease& lease : active) {
    EXPECT_EQ(lease.holder.job_id, "job");
    EXPECT_EQ(lease.holder.job_type, "training");
    EXPECT_EQ(lease.holder.server_id, "server-1");
    EXPECT_EQ(lease.holder.host, "here");
    EXPECT_EQ(lease.holder.boot_id, "boot-1");
    EXPECT_EQ(lease.holder.pid, 12);
    EXPECT_EQ(lease.holder.start_time, 9007199254740993);
    EXPECT_EQ(lease.holder.server_pid, 77);
    EXPECT_EQ(lease.holder.server_start_time, int64_t{1} << 40);
    EXPECT_GE(lease.taken_at, before);
    EXPECT_LE(lease.taken_at, static_cast<int64_t>(epoch_seconds()));
  }
  EXPECT_NE(active[0].id, active[1].id);
}

TEST_P(LeasesTest, AGangIsTakenWholeOrNotAtAll) {
  EXPECT_TRUE(leases_->take({"gpu-2", "gpu-5"}, holder_of("first")).empty());
  const auto in_the_way = leases_->take({"gpu-6", "gpu-5", "gpu-1", "gpu-2"}, holder_of("second"));
  EXPECT_EQ(uuids_of(in_the_way), (Uuids{"gpu-2", "gpu-5"}));
  for (const Lease& lease : in_the_way) EXPECT_EQ(lease.holder.job_id, "first");
  EXPECT_EQ(uuids_of(leases_->active()), (Uuids{"gpu-2", "gpu-5"}));
  EXPECT_TRUE(leases_->take({"gpu-6", "gpu-1"}, holder_of("second")).empty());
  // Not even the same job holds a device twice.
  EXPECT_EQ(leases_->take({"gpu-1"}, holder_of("second")).size(), 1u);
}

TEST_P(LeasesTest, RefusesNonsense) {
  EXPECT_THROW(leases_->take({}, holder_of("job")), Error);
  EXPECT_THROW(leases_->take({"gpu-1", "gpu-2", "gpu-1"}, holder_of("job")), Error);
  EXPECT_TRUE(leases_->active().empty());
}

TEST_P(LeasesTest, BindsAndReleasesByJob) {
  leases_->take({"gpu-1", "gpu-2"}, holder_of("one"));
  leases_->take({"gpu-3"}, holder_of("two"));
  EXPECT_TRUE(leases_->bind("one", 42, 4242));
  EXPECT_FALSE(leases_->bind("three", 42, 4242));
  for (const Lease& lease : leases_->active()) {
    EXPECT_EQ(lease.holder.pid, lease.holder.job_id == "one" ? 42 : 0);
    EXPECT_EQ(lease.holder.start_time, lease.holder.job_id == "one" ? 4242 : 0);
  }
  EXPECT_EQ(leases_->release("one"), 2);
  EXPECT_EQ(leases_->release("one"), 0);
  EXPECT_FALSE(leases_->bind("one", 42, 4242));
  EXPECT_EQ(uuids_of(leases_->active()), (Uuids{"gpu-3"}));
  EXPECT_TRUE(leases_->take({"gpu-1", "gpu-2"}, holder_of("three")).empty());
}

TEST_P(LeasesTest, EndsTheLeasesOfTheDead) {
  const auto bound = [&](const std::string& uuid, const std::string& job, int64_t pid) {
    leases_->take({uuid}, holder_of(job));
    if (pid != 0) leases_->bind(job, pid, int64_t{1} << 40);
  };
  bound("gpu-1", "alive", 10);
  bound("gpu-2", "dead", 11);
  bound("gpu-3", "waiting", 0);
  LeaseHolder orphan = holder_of("orphan");
  orphan.server_pid = 78;
  leases_->take({"gpu-4"}, orphan);
  LeaseHolder survivor = holder_of("survivor");  // its server is gone, its launcher is not
  survivor.server_pid = 78;
  leases_->take({"gpu-5"}, survivor);
  leases_->bind("survivor", 10, int64_t{1} << 40);
  LeaseHolder old = holder_of("old");
  old.boot_id = "boot-0";
  old.pid = 10;
  old.start_time = int64_t{1} << 40;
  leases_->take({"gpu-6"}, old);
  LeaseHolder elsewhere = holder_of("elsewhere");
  elsewhere.host = "there";
  elsewhere.boot_id = "boot-9";
  elsewhere.pid = 11;
  leases_->take({"gpu-7"}, elsewhere);

  EXPECT_EQ(end_all_but({10, 77}), (Uuids{"gpu-2", "gpu-4", "gpu-6"}));
  EXPECT_EQ(uuids_of(leases_->active()), (Uuids{"gpu-1", "gpu-3", "gpu-5", "gpu-7"}));
  EXPECT_EQ(end_all_but({10, 77}), Uuids{});
  EXPECT_EQ(end_all_but({}), (Uuids{"gpu-1", "gpu-3", "gpu-5"}));
  EXPECT_EQ(uuids_of(leases_->active()), (Uuids{"gpu-7"}));
}

// The launcher started while somebody looked at the dead server that stood for it.
TEST_P(LeasesTest, ALauncherBoundMeanwhileKeepsItsLease) {
  leases_->take({"gpu-1"}, holder_of("job"));
  const auto ended = leases_->release_dead("here", "boot-1", [&](int64_t pid, int64_t) {
    EXPECT_EQ(pid, 77);
    leases_->bind("job", 42, 1);
    return false;
  });
  EXPECT_TRUE(ended.empty());
  EXPECT_EQ(leases_->active().size(), 1u);
}

TEST_P(LeasesTest, KnowsWhenADeviceWasLastUsed) {
  const auto put = [&](const char* uuid, int64_t taken, const char* released) {
    database_->write([&](soci::session& session) {
      session << fmt::format(
          "INSERT INTO leases (uuid, job_id, job_type, server_id, host, boot_id, pid, start_time, server_pid,"
          " server_start_time, taken_at, released_at)"
          " VALUES ('{}', 'j', 't', 's', 'h', 'b', 0, 0, 0, 0, {}, {})",
          uuid, taken, released);
    });
  };
  put("gpu-b", 100, "400");
  put("gpu-b", 200, "300");
  put("gpu-a", 100, "150");
  put("gpu-c", 100, "150");
  put("gpu-c", 160, "NULL");
  const auto used = leases_->last_used();
  ASSERT_EQ(used.size(), 3u);
  EXPECT_EQ(used[0], (std::pair<std::string, int64_t>{"gpu-a", 150}));
  EXPECT_EQ(used[1], (std::pair<std::string, int64_t>{"gpu-b", 400}));
  EXPECT_EQ(used[2].first, "gpu-c");
  EXPECT_NEAR(static_cast<double>(used[2].second), epoch_seconds(), 5);
}

TEST_P(LeasesTest, OneOfManyThreadsWins) {
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> winners = 0, losers = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        // Overlapping gangs in different orders.
        const Uuids gang = i % 2 ? Uuids{"gpu-1", "gpu-2", "gpu-3"} : Uuids{"gpu-3", "gpu-2"};
        ++(leases_->take(gang, holder_of(fmt::format("job-{}", i))).empty() ? winners : losers);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(losers, 7);
    leases_->release(leases_->active().at(0).holder.job_id);
    EXPECT_TRUE(leases_->active().empty());
  }
}

}  // namespace
}  // namespace saemill
