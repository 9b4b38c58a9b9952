#include <signal.h>

#include <atomic>

#include "control/jobs/jobs_fixture.h"
#include "control/launch/detached.h"
#include "control/store/checkpoints.h"
#include "control/store/training_metrics.h"

namespace saemill {
namespace {

using Status = TrainingStatus;
using testing_tools::JobsTest;
using Words = std::vector<std::string>;

TEST_F(JobsTest, ATrainingFromTheQueueToItsEnd) {
  serve();
  const std::string id = submit("finish");
  ASSERT_TRUE(reaches(id, Status::completed));
  // It is told once it is stored.
  ASSERT_TRUE(eventually([&] { return told_.events().size() == 5; }));
  EXPECT_EQ(told_.of(id), (Words{"created", "starting", "running", "finalizing", "completed"}));
  EXPECT_EQ(told_.seqs(id), (std::vector<int64_t>{1, 2, 3, 4}));
  const TrainingRow done = row(id);
  EXPECT_EQ(done.current_step, 2);
  EXPECT_EQ(done.total_steps, 2);
  EXPECT_EQ(done.world_size, 1);
  EXPECT_EQ(done.launcher_pid, 0);
  EXPECT_TRUE(done.started_at && done.completed_at && !done.error);
  EXPECT_TRUE(leases_->active().empty());
  EXPECT_EQ(TrainingMetrics(*database_).latest(id).front().value, 0.25);
  const std::string started = lines(id, "started").at(0);
  EXPECT_NE(started.find("--devices cpu:"), std::string::npos) << started;
  EXPECT_NE(started.find("--resume"), std::string::npos);
  Words codes;
  for (const MachineEvent& event : told_.events()) codes.push_back(event.code);
  EXPECT_EQ(codes, (Words{"training_queued", "training_starting", "training_running", "training_finalizing",
                          "training_completed"}));
}

TEST_F(JobsTest, WhoeverNamesATakenDeviceWaitsForIt) {
  serve();
  const std::string a = submit(asked_on("wait", 0)), b = submit(asked_on("wait", 1));
  ASSERT_TRUE(reaches(a, Status::running));
  ASSERT_TRUE(reaches(b, Status::running));
  EXPECT_EQ(leases_->active().size(), 2u);
  const std::string c = submit(asked_on("finish", 0));
  ASSERT_TRUE(eventually([&] { return row(c).reason_code == "devices_busy"; }));
  EXPECT_NE(row(c).reason_message->find(a), std::string::npos) << "who has it: " << *row(c).reason_message;
  jobs_->control(a, {.action = Action::cancel});
  EXPECT_TRUE(reaches(c, Status::completed));
  EXPECT_EQ(row(b).status, Status::running);
}

TEST_F(JobsTest, PausedResumedOnAnotherDeviceAndFinishedEarly) {
  serve();
  const std::string id = submit("wait");
  ASSERT_TRUE(reaches(id, Status::running));
  EXPECT_EQ(jobs_->control(id, {.action = Action::checkpoint}).status, Status::running);
  ASSERT_TRUE(eventually([&] { return lines(id, "signals") == Words{"USR1"}; }));
  EXPECT_EQ(jobs_->control(id, {.action = Action::pause}).status, Status::pausing);
  ASSERT_TRUE(reaches(id, Status::paused));
  EXPECT_TRUE(leases_->active().empty());
  EXPECT_EQ(row(id).reason_message, "paused at step 2");

  const std::string other = slot(0);
  jobs_->control(id, {.action = Action::resume, .device_uuids = {other}, .priority = 70});
  ASSERT_TRUE(reaches(id, Status::running));
  EXPECT_EQ(row(id).device_uuids, "[\"" + other + "\"]");
  EXPECT_EQ(row(id).priority, 70);
  jobs_->control(id, {.action = Action::finish});
  ASSERT_TRUE(reaches(id, Status::completed));
  EXPECT_EQ(row(id).finalized_from_step, 2);
  EXPECT_EQ(lines(id, "signals"), (Words{"USR1", "TERM", "USR2"}));
  ASSERT_TRUE(eventually([&] { return told_.of(id).back() == "completed"; }));
  EXPECT_EQ(told_.of(id), (Words{"created", "starting", "running", "pausing", "paused", "queued", "starting",
                                 "running", "finalizing", "completed"}));
}

TEST_F(JobsTest, APausedOneIsFinishedByAnotherStart) {
  serve();
  const std::string id = submit("wait");
  ASSERT_TRUE(reaches(id, Status::running));
  jobs_->control(id, {.action = Action::pause});
  ASSERT_TRUE(reaches(id, Status::paused));
  EXPECT_THROW(jobs_->control(id, {.action = Action::finish}), Refused) << "there is no checkpoint";
  std::filesystem::create_directories(jobs_->run_folder(id) / "checkpoints" / "step-00000002");
  jobs_->control(id, {.action = Action::finish});
  ASSERT_TRUE(reaches(id, Status::completed));
  const auto started = lines(id, "started");
  ASSERT_EQ(started.size(), 2u);
  EXPECT_EQ(started[0].find("--finish"), std::string::npos);
  EXPECT_NE(started[1].find("--finish"), std::string::npos);
  EXPECT_TRUE(leases_->active().empty());
}

TEST_F(JobsTest, CancelEndsAllItsProcessesAndRetryGoesOn) {
  serve();
  const std::string id = submit("leave");
  ASSERT_TRUE(reaches(id, Status::running));
  const int64_t launcher = row(id).launcher_pid;
  ASSERT_TRUE(eventually([&] { return processes_of(launcher, "SAEMILL_TRAINING=" + id).size() >= 2; }));
  EXPECT_EQ(jobs_->control(id, {.action = Action::cancel}).status, Status::cancelled);
  ASSERT_TRUE(eventually([&] { return row(id).launcher_pid == 0; }));
  EXPECT_TRUE(processes_of(launcher, "SAEMILL_TRAINING=" + id).empty());
  EXPECT_TRUE(leases_->active().empty());
  EXPECT_EQ(jobs_->control(id, {.action = Action::retry}).status, Status::queued);
  EXPECT_TRUE(reaches(id, Status::running));
}

TEST_F(JobsTest, WhatIsWrongIsSaidAndNotTriedAgain) {
  serve();
  const std::string id = submit("refuse");
  ASSERT_TRUE(reaches(id, Status::failed));
  EXPECT_EQ(row(id).error, "the shard is truncated");
  EXPECT_EQ(row(id).restarts, 0);
  EXPECT_EQ(lines(id, "started").size(), 1u);
  EXPECT_TRUE(leases_->active().empty());
}

TEST_F(JobsTest, ADeadLauncherIsStartedAgain) {
  serve();
  const std::string id = submit("flaky");
  ASSERT_TRUE(reaches(id, Status::completed));
  EXPECT_EQ(row(id).restarts, 1);
  EXPECT_EQ(lines(id, "started").size(), 2u);
}

TEST_F(JobsTest, RestartsAreUsedUp) {
  serve();
  TrainingRow asks = asked("lost");
  asks.max_restarts = 2;
  const std::string id = submit(asks);
  ASSERT_TRUE(reaches(id, Status::failed));
  EXPECT_EQ(lines(id, "started").size(), 3u);
  EXPECT_EQ(row(id).error, "rank 1 has gone");
  EXPECT_NE(row(id).reason_message->find("its 2 restarts are used up"), std::string::npos);
}

TEST_F(JobsTest, ASilentLauncherIsKilled) {
  options_.hang_after = 0.5;
  serve();
  TrainingRow asks = asked("silent");
  asks.max_restarts = 0;
  const std::string id = submit(asks);
  ASSERT_TRUE(reaches(id, Status::failed));
  EXPECT_NE(row(id).error->find("no sign of life"), std::string::npos) << *row(id).error;
}

TEST_F(JobsTest, ADeafOneIsCancelledToo) {
  serve();
  const std::string id = submit("silent");
  ASSERT_TRUE(reaches(id, Status::starting));
  ASSERT_TRUE(eventually([&] { return row(id).launcher_pid != 0; }));
  jobs_->control(id, {.action = Action::cancel});
  EXPECT_TRUE(eventually([&] { return row(id).launcher_pid == 0; }, 30));
}

// As where the server was killed after its `started` line was stored, and before it was heeded.
TEST_F(JobsTest, RunsWhenItsStatusSaysSo) {
  serve();
  const std::string id = submit("mute");
  EXPECT_TRUE(reaches(id, Status::running));
}

TEST_F(JobsTest, ItsTimeLimitPausesIt) {
  serve();
  TrainingRow asks = asked("wait");
  asks.time_limit_s = 1;
  const std::string id = submit(asks);
  ASSERT_TRUE(reaches(id, Status::paused));
  EXPECT_EQ(row(id).reason_code, "time_limit");
}

TEST_F(JobsTest, WhoWaitsIsToldWhenItIsExpectedToStart) {
  serve();
  TrainingRow limited = asked_on("wait", 0);
  limited.time_limit_s = 1000;
  const std::string holder = submit(limited);
  ASSERT_TRUE(reaches(holder, Status::running));
  const std::string paused = submit(asked_on("wait", 1));
  ASSERT_TRUE(reaches(paused, Status::running));
  jobs_->control(paused, {.action = Action::pause});
  ASSERT_TRUE(reaches(paused, Status::paused));
  TrainingChange change;
  change.current_step = 1;  // one step is left, and the last took a minute
  ASSERT_TRUE(trainings_->update(paused, Status::paused, change));
  jobs_->control(paused, {.action = Action::resume, .device_uuids = {slot(0)}});
  const std::string last = submit(asked_on("finish", 0));
  ASSERT_TRUE(eventually([&] { return row(last).expected_start.has_value(); }));
  const double begin = static_cast<double>(*row(holder).started_at) / 1e3;
  EXPECT_NEAR(static_cast<double>(*row(paused).expected_start) / 1e3, begin + 1000, 1);
  EXPECT_NEAR(static_cast<double>(*row(last).expected_start) / 1e3, begin + 1060, 1);
}

TEST_F(JobsTest, OneWhoseFolderCannotBeMadeHoldsUpNobody) {
  serve();
  TrainingRow held = asked("finish");
  held.held = true;
  const std::string spoilt = submit(held), well = submit("wait");
  ASSERT_TRUE(reaches(well, Status::running));
  std::ofstream(folder_ / "trainings" / spoilt) << "a file in the place of its folder";
  jobs_->control(spoilt, {.action = Action::release});
  ASSERT_TRUE(eventually([&] { return row(spoilt).reason_code == "cannot_start"; }));
  // A running one whose events cannot be read does not either.
  std::filesystem::remove(folder_ / "trainings" / well / "events.jsonl");
  EXPECT_TRUE(reaches(submit("finish"), Status::completed));
  std::filesystem::remove(folder_ / "trainings" / spoilt);
  EXPECT_TRUE(reaches(spoilt, Status::completed));
}

TEST_F(JobsTest, AProgramThatIsNotThere) {
  options_.program = folder_ / "no_such_program";
  serve();
  const std::string id = submit("finish");
  ASSERT_TRUE(reaches(id, Status::failed));
  EXPECT_NE(row(id).error->find("no_such_program"), std::string::npos);
  EXPECT_TRUE(leases_->active().empty());
}

TEST_F(JobsTest, ANewServerGoesOnWithARunningLauncher) {
  serve();
  const std::string id = submit("wait"), ends = submit("wait");
  ASSERT_TRUE(reaches(id, Status::running));
  ASSERT_TRUE(reaches(ends, Status::running));
  const int64_t launcher = row(id).launcher_pid;
  stop_serving();
  ::kill(static_cast<pid_t>(row(ends).launcher_pid), SIGUSR2);  // it finishes while nobody looks
  ASSERT_TRUE(eventually([&] { return has_ended(row(ends).launcher_pid, row(ends).launcher_start_time); }));
  serve();
  EXPECT_TRUE(reaches(ends, Status::completed));
  EXPECT_EQ(row(id).launcher_pid, launcher);
  EXPECT_EQ(lines(id, "started").size(), 1u);
  jobs_->control(id, {.action = Action::pause});
  ASSERT_TRUE(reaches(id, Status::paused));
  const auto seqs = told_.seqs(id);
  EXPECT_TRUE(std::adjacent_find(seqs.begin(), seqs.end(), std::greater_equal<>()) == seqs.end())
      << "each line is told once";
}

TEST_F(JobsTest, AStartThatWasCutOffIsMadeAgain) {
  // As a server leaves it that was killed after it took the devices.
  TrainingRow left = asked("finish");
  left.id = "aaaabbbbccccdddd";
  left.server_id = "server";
  left.status = Status::starting;
  std::vector<TrainingRow> rows{left};
  trainings_->insert(rows);
  LeaseHolder holder;
  holder.job_id = left.id;
  holder.host = host_name();
  holder.boot_id = boot_id();
  holder.server_pid = 1 << 22;
  holder.server_start_time = 1;
  ASSERT_TRUE(leases_->take({slot(0)}, holder).empty());
  serve();
  EXPECT_TRUE(reaches(left.id, Status::completed));
}

TEST_F(JobsTest, NowOrNotAtAll) {
  serve();
  const auto started = jobs_->create({asked_on("wait", 0), asked_on("wait", 1)}, true);
  for (const TrainingRow& one : started) EXPECT_NE(one.status, Status::queued);
  EXPECT_EQ(started[0].group_id, started[1].group_id);
  EXPECT_TRUE(started[0].group_id);
  try {
    jobs_->create({asked_on("finish", 0)}, true);
    FAIL() << "its device is taken";
  } catch (const Refused& refused) {
    EXPECT_EQ(refused.code(), "gpu_unavailable");
  }
  EXPECT_EQ(trainings_->list({}).total, 2);
}

TEST_F(JobsTest, HeldAfterAndPriority) {
  serve();
  TrainingRow held = asked("finish");
  held.held = true;
  const std::string id = submit(held);
  ASSERT_TRUE(eventually([&] { return row(id).reason_code == "held"; }));
  TrainingRow later = asked("finish");
  later.after = "[\"" + id + "\"]";
  const std::string second = submit(later);
  ASSERT_TRUE(eventually([&] { return row(second).reason_code == "after"; }));
  jobs_->control(id, {.action = Action::release});
  EXPECT_TRUE(reaches(id, Status::completed));
  EXPECT_TRUE(reaches(second, Status::completed));

  const std::string cancelled = submit(held);
  jobs_->control(cancelled, {.action = Action::cancel});
  later.after = "[\"" + cancelled + "\"]";
  const std::string never = submit(later);
  EXPECT_TRUE(eventually([&] { return row(never).reason_code == "after_failed"; }));
}

TEST_F(JobsTest, EraseTakesRowAndFolderButNotOfARunningOne) {
  serve();
  const std::string id = submit("wait");
  ASSERT_TRUE(reaches(id, Status::running));
  EXPECT_THROW(jobs_->erase(id), Refused);
  jobs_->control(id, {.action = Action::cancel});
  ASSERT_TRUE(eventually([&] { return row(id).launcher_pid == 0; }));
  jobs_->erase(id);
  EXPECT_FALSE(trainings_->find(id));
  EXPECT_FALSE(std::filesystem::exists(jobs_->run_folder(id)));
  EXPECT_THROW(jobs_->erase(id), Refused);
  EXPECT_EQ(told_.of(id).back(), "deleted");
}

TEST_F(JobsTest, OldOnesAreDeletedWhereAsked) {
  options_.keep_trainings_days = 1;
  TrainingRow old = asked("finish"), fresh = asked("finish");
  old.id = "old", fresh.id = "fresh";
  for (TrainingRow* one : {&old, &fresh}) one->server_id = "server", one->status = Status::failed;
  const auto now = static_cast<int64_t>(epoch_seconds() * 1e3);
  old.completed_at = now - int64_t{86400} * 2000;
  fresh.completed_at = now;
  std::vector<TrainingRow> rows{old, fresh};
  trainings_->insert(rows);
  std::filesystem::create_directories(folder_ / "trainings" / "old");
  serve();
  EXPECT_TRUE(eventually([&] { return !trainings_->find("old"); }));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "trainings" / "old"));
  EXPECT_TRUE(trainings_->find("fresh"));
}

TEST_F(JobsTest, CheckpointsOfTheCompletedAreDeletedWhereAsked) {
  options_.keep_checkpoints_days = 1;
  TrainingRow done = asked("finish"), paused = asked("finish");
  done.id = "done", done.status = Status::completed;
  paused.id = "paused", paused.status = Status::paused;
  const auto long_ago = static_cast<int64_t>((epoch_seconds() - 2 * 86400) * 1e3);
  std::vector<TrainingRow> rows{done, paused};
  for (TrainingRow& one : rows) {
    one.server_id = "server", one.completed_at = long_ago;
    std::filesystem::create_directories(folder_ / "trainings" / one.id / "checkpoints" / "step-00000002");
    std::filesystem::create_directories(folder_ / "trainings" / one.id / "sae");
  }
  trainings_->insert(rows);
  const RunEvent saved{.seq = 1,
                       .time_ms = long_ago,
                       .attempt = 1,
                       .event = "checkpoint",
                       .data = "{}",
                       .step = 2,
                       .checkpoint = "step-00000002",
                       .bytes = 5};
  ASSERT_TRUE(RunEvents(*database_).apply("done", {}, {.offset = 9, .seq = 1, .attempt = 1}, {saved}));
  Checkpoints checkpoints(*database_);
  ASSERT_EQ(checkpoints.list("done").size(), 1u);
  serve();
  EXPECT_TRUE(eventually([&] { return checkpoints.list("done").empty(); }));
  EXPECT_TRUE(eventually([&] { return told_.of("done") == Words{"erased 2"}; }));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "trainings/done/checkpoints"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "trainings/done/sae"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "trainings/paused/checkpoints/step-00000002"));
}

// For ThreadSanitizer too: requests from several threads while everything moves.
TEST_F(JobsTest, ManyRequestsAtOnce) {
  serve();
  std::vector<std::string> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(submit(i % 2 ? "wait" : "finish"));
  std::atomic<bool> done = false;
  std::vector<std::thread> askers;
  for (int thread = 0; thread < 3; ++thread) {
    askers.emplace_back([&, thread] {
      for (int i = thread; !done; ++i) {
        const Action action = static_cast<Action>(i % kActions);
        try {
          jobs_->control(ids[static_cast<size_t>(i / kActions) % ids.size()],
                         {.action = action, .priority = 50});
        } catch (const Refused&) {
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::seconds(3));
  done = true;
  for (std::thread& asker : askers) asker.join();
  for (const std::string& id : ids) {
    if (!is_final(row(id).status)) jobs_->control(id, {.action = Action::cancel});
    EXPECT_TRUE(eventually([&] { return is_final(row(id).status) && row(id).launcher_pid == 0; }));
  }
  EXPECT_TRUE(leases_->active().empty());
}

}  // namespace
}  // namespace saemill
