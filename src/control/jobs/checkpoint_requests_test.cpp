// Which checkpoints may go, going on from a chosen one, and another place in the queue.
#include "control/jobs/checkpoint_requests.h"

#include "control/jobs/jobs_fixture.h"
#include "control/store/checkpoints.h"

namespace saemill {
namespace {

using Status = TrainingStatus;
using testing_tools::JobsTest;
using Words = std::vector<std::string>;

TEST(CheckpointRequests, WhatMayGoDependsOnTheState) {
  std::vector<CheckpointRow> all(2);
  all[0].step = 10, all[1].step = 20;
  TrainingRow training;
  for (const Status status : {Status::starting, Status::running, Status::pausing, Status::finalizing}) {
    training.status = status;
    EXPECT_NE(why_it_stays(training, all, 10).find(to_string(status)), std::string::npos);
  }
  for (const Status status : {Status::completed, Status::failed, Status::cancelled}) {
    training.status = status;
    EXPECT_EQ(why_it_stays(training, all, 20), "");
    training.launcher_pid = 7;
    EXPECT_NE(why_it_stays(training, all, 10), "") << "its processes may still write";
    training.launcher_pid = 0;
  }
  for (const Status status : {Status::queued, Status::paused}) {
    training.status = status;
    training.from_checkpoint.reset();
    EXPECT_EQ(why_it_stays(training, all, 10), "");
    EXPECT_NE(why_it_stays(training, all, 20), "") << "it goes on from the newest";
    training.from_checkpoint = 10;
    EXPECT_NE(why_it_stays(training, all, 10).find("chosen"), std::string::npos);
    EXPECT_EQ(why_it_stays(training, all, 20), "");
  }
}

class CheckpointsOfJobs : public JobsTest {
 protected:
  std::string paused_after_two() {
    const std::string id = submit("saves");
    EXPECT_TRUE(eventually([&] { return steps(id).size() == 2; }));
    EXPECT_TRUE(reaches(id, Status::running));
    EXPECT_EQ(refused([&] { jobs_->erase_checkpoint(id, "step-00000001"); }), "bad_state") << "it runs";
    jobs_->control(id, {.action = Action::pause});
    EXPECT_TRUE(reaches(id, Status::paused));
    return id;
  }
  std::vector<int64_t> steps(const std::string& id) const {
    std::vector<int64_t> found;
    for (const CheckpointRow& row : Checkpoints(*database_).list(id)) found.push_back(row.step);
    return found;
  }
  bool there(const std::string& id, const std::string& name) const {
    return std::filesystem::exists(folder_ / "trainings" / id / "checkpoints" / name);
  }
  template <typename Work>
  static std::string refused(const Work& work) {
    try {
      work();
    } catch (const Refused& refused) {
      return refused.code();
    }
    return "";
  }
};

TEST_F(CheckpointsOfJobs, OneIsDeletedWithItsFilesAndTold) {
  serve();
  const std::string id = paused_after_two();
  EXPECT_EQ(refused([&] { jobs_->erase_checkpoint(id, "step-00000002"); }), "bad_state") << "the newest";
  EXPECT_EQ(refused([&] { jobs_->erase_checkpoint(id, "step-00000003"); }), "not_found");
  EXPECT_EQ(refused([&] { jobs_->erase_checkpoint("nobody", "step-00000001"); }), "not_found");
  jobs_->erase_checkpoint(id, "step-00000001");
  EXPECT_EQ(steps(id), std::vector<int64_t>{2});
  EXPECT_FALSE(there(id, "step-00000001"));
  EXPECT_TRUE(there(id, "step-00000002"));
  EXPECT_EQ(told_.of(id).back(), "erased 1");
  EXPECT_EQ(refused([&] { jobs_->erase_checkpoint(id, "step-00000001"); }), "not_found");
  // Killed after the rename: the row is still there, and asking again does the rest.
  jobs_->control(id, {.action = Action::cancel});
  const auto folder = folder_ / "trainings" / id / "checkpoints";
  std::filesystem::rename(folder / "step-00000002", folder / "step-00000002.tmp");
  EXPECT_EQ(refused([&] { jobs_->control(id, {.action = Action::retry, .checkpoint = "step-00000002"}); }),
            "no_checkpoint");
  jobs_->erase_checkpoint(id, "step-00000002");
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  EXPECT_TRUE(steps(id).empty());
}

TEST_F(CheckpointsOfJobs, AChoiceIsCarriedOutOnce) {
  serve();
  const std::string id = paused_after_two();
  EXPECT_EQ(refused([&] { jobs_->control(id, {.action = Action::resume, .checkpoint = "step-00000007"}); }),
            "no_checkpoint");
  EXPECT_EQ(row(id).status, Status::paused);
  TrainingRow held = jobs_->control(id, {.action = Action::resume, .checkpoint = "step-00000001"});
  EXPECT_EQ(held.from_checkpoint, 1);
  ASSERT_TRUE(reaches(id, Status::running));
  ASSERT_TRUE(eventually([&] { return !row(id).from_checkpoint; }))
      << "its rewind says that it has come true";
  EXPECT_EQ(steps(id), std::vector<int64_t>{1});
  ::kill(static_cast<pid_t>(row(id).launcher_pid), SIGKILL);
  ASSERT_TRUE(eventually([&] { return lines(id, "started").size() == 3; }));
  const auto started = lines(id, "started");
  EXPECT_EQ(started[0].find("--from-checkpoint"), std::string::npos);
  EXPECT_NE(started[1].find("--from-checkpoint step-00000001"), std::string::npos);
  EXPECT_EQ(started[2].find("--from-checkpoint"), std::string::npos) << "a restart goes on from where it was";
}

TEST_F(CheckpointsOfJobs, AChoiceStandsUntilItHasComeTrueOrItsCheckpointIsGone) {
  serve();
  const std::string id = paused_after_two();
  stop_serving();  // so that nothing starts it
  jobs_ = std::make_unique<Jobs>(options_, *database_, *leases_, *monitor_, told_);
  jobs_->control(id, {.action = Action::resume, .checkpoint = "step-00000001"});
  EXPECT_EQ(refused([&] { jobs_->erase_checkpoint(id, "step-00000001"); }), "bad_state");
  jobs_->control(id, {.action = Action::cancel});
  EXPECT_EQ(row(id).from_checkpoint, 1);
  jobs_->control(id, {.action = Action::retry});
  EXPECT_EQ(row(id).from_checkpoint, 1);
  jobs_->control(id, {.action = Action::cancel});
  jobs_->control(id, {.action = Action::retry, .checkpoint = "step-00000002"});
  EXPECT_EQ(row(id).from_checkpoint, 2);
  jobs_->control(id, {.action = Action::cancel});
  jobs_->erase_checkpoint(id, "step-00000002");
  EXPECT_FALSE(row(id).from_checkpoint);
}

TEST_F(CheckpointsOfJobs, AnotherPlaceInTheQueue) {
  serve();
  const std::string holder = submit(asked_on("wait", 0));
  ASSERT_TRUE(reaches(holder, Status::running));
  EXPECT_EQ(refused([&] { jobs_->control(holder, {.action = Action::prioritize, .priority = 1}); }),
            "bad_state");
  const std::string first = submit(asked_on("wait", 0)), second = submit(asked_on("wait", 0));
  ASSERT_TRUE(eventually(
      [&] { return row(second).reason_code == "behind" || row(second).reason_code == "devices_busy"; }));
  const TrainingRow moved = jobs_->control(second, {.action = Action::prioritize, .priority = 90});
  EXPECT_EQ(moved.priority, 90);
  EXPECT_NE(moved.reason_code, "prioritize") << "why it waits stays told";
  jobs_->control(holder, {.action = Action::cancel});
  ASSERT_TRUE(reaches(second, Status::running));
  EXPECT_EQ(row(first).status, Status::queued);
  jobs_->control(second, {.action = Action::pause});
  ASSERT_TRUE(reaches(second, Status::paused));
  EXPECT_EQ(jobs_->control(second, {.action = Action::prioritize, .priority = 3}).reason_message,
            "paused at step 2");
  EXPECT_EQ(row(second).priority, 3);
}

}  // namespace
}  // namespace saemill
