// `saemill train` from outside: what a job looks like when its ranks finish, fail, fall silent or talk
// nonsense.
#include "launch_fixture.h"

namespace saemill {
namespace {

constexpr const char* kTwo = "cpu:0,cpu:1";

Json forever() {
  return {{{"beat", 600}}};
}

TEST_F(LaunchTest, AFinishedRunHasItsEventsAndItsExit) {
  Launched job(words(kTwo), script({{{"0", good_leader()}, {"1", good_peer()}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 0) << job.err();
  ASSERT_EQ(events("started").size(), 1U);
  EXPECT_EQ(events("started")[0]["devices"], Json({"cpu:0", "cpu:1"}));
  EXPECT_EQ(events("started")[0]["attempt"], 1);
  ASSERT_EQ(events("metrics").size(), 2U);
  EXPECT_EQ(events("metrics")[1]["step"], 20);
  ASSERT_EQ(events("finished").size(), 1U);
  EXPECT_EQ(events("finished")[0]["report"]["fvu"], 0.25);
  expect_gapless();
  EXPECT_EQ(json_of("exit.json")["code"], 0);
  EXPECT_EQ(json_of("exit.json")["step"], 100);
  EXPECT_EQ(json_of("status.json")["state"], "completed");
  EXPECT_EQ(json_of("config.json")["train"]["steps"], 100);
}

TEST_F(LaunchTest, RanksHoldOnlyTheirOwnDescriptorsAndShareTheCores) {
  const Json facts = {{{"print_facts", 1}}, {{"beat", 0.3}}, {{"exit", 0}}};
  Json leader = good_leader();
  leader.insert(leader.begin(), Json{{"print_facts", 1}});
  Launched job(words(kTwo), script({{{"0", leader}, {"*", facts}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 0) << job.err();
  for (const char* log : {"logs/rank-0.log", "logs/rank-1.log"}) {
    const std::string text = text_of(run_ / log);
    std::string fds = text.substr(text.find("fds"));
    fds = fds.substr(0, fds.find('\n'));
    EXPECT_EQ(std::count(fds.begin(), fds.end(), ' '), 5) << fds;  // 0, 1, 2, its pipe, the shared memory
    EXPECT_NE(text.find("group own"), std::string::npos);
    EXPECT_NE(text.find("--world-size 2"), std::string::npos);
  }
}

TEST_F(LaunchTest, MoreRanksThanCoresAreNotPinned) {
  std::string devices = "cpu:0";
  for (int slot = 1; slot < 2 * static_cast<int>(std::thread::hardware_concurrency()); ++slot) {
    devices += ",cpu:" + std::to_string(slot);
  }
  Json leader = good_leader();
  leader.insert(leader.begin(), Json{{"print_facts", 1}});
  Launched job(words(devices), script({{{"0", leader}, {"*", good_peer()}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 0) << job.err();
  EXPECT_NE(text_of(run_ / "logs/rank-0.log").find("--threads 1"), std::string::npos);
}

TEST_F(LaunchTest, TheExitCodeIsThatOfTheFirstCause) {
  // The peers see that rank 1 is gone and fail with 75 before its own end is seen.
  const Json lost = {{{"beat", 0.2}},
                     say({{"event", "failed"}, {"code", 75}, {"reason", "rank 1 is lost"}}),
                     {{"exit", 75}}};
  const Json bad = {{{"beat", 0.5}},
                    {{"print", "what rank 1 printed"}},
                    say({{"event", "failed"},
                         {"code", 65},
                         {"reason", "shard.npy: row 3 is not finite"},
                         {"phase", "train"}}),
                    {{"exit", 65}}};
  Launched job(words(kTwo), script({{{"0", lost}, {"1", bad}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 65);
  const std::string err = job.err();
  for (const char* part : {"rank 1", "cpu:1", "train", "row 3 is not finite", "what rank 1 printed"}) {
    EXPECT_NE(err.find(part), std::string::npos) << part << " in " << err;
  }
  EXPECT_EQ(json_of("exit.json")["rank"], 1);
  EXPECT_EQ(json_of("exit.json")["device"], "cpu:1");
  ASSERT_EQ(events("failed").size(), 1U);
  EXPECT_EQ(events("failed")[0]["code"], 65);
}

TEST_F(LaunchTest, AKilledRankEndsTheJobWithinSeconds) {
  const Json with_child = {{{"grandchild", 1}}, {{"beat", 600}}};
  Launched job(words(kTwo), script({{{"0", with_child}, {"1", forever()}}}), folder_, "a");
  Json status;
  ASSERT_TRUE(eventually([&] {
    status = json_of("status.json");
    return status.is_object() && status["ranks"].size() == 2 && status["ranks"][0]["phase"] == "train" &&
           status["ranks"][1]["phase"] == "train";
  }));
  EXPECT_GT(status["ranks"][1]["start_time"], 0);
  EXPECT_LT(status["ranks"][1]["heartbeat_age"], 5);
  const auto begin = std::chrono::steady_clock::now();
  ::kill(status["ranks"][1]["pid"].get<pid_t>(), SIGKILL);
  EXPECT_EQ(job.wait(), 75);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_NE(job.err().find("rank 1 (cpu:1)"), std::string::npos) << job.err();
  EXPECT_NE(job.err().find("signal 9"), std::string::npos) << job.err();
  EXPECT_TRUE(processes_of_run().empty());
}

// Rank 0 exports and evaluates after the others have ended: here for longer than the launcher bears silence.
TEST_F(LaunchTest, RanksThatEndWithZeroAreNotMissed) {
  Json leader = good_leader();
  leader.insert(leader.begin() + 1, Json{{"beat", 12}});
  const Json peer = {{{"exit", 0}}};
  Launched job(words("cpu:0,cpu:1,cpu:2", {"--deadline", "1"}), script({{{"0", leader}, {"*", peer}}}),
               folder_, "a");
  ASSERT_TRUE(eventually([&] {
    const Json status = json_of("status.json");
    return status.is_object() && status["ranks"].size() == 3 && status["ranks"][1]["running"] == false &&
           status["ranks"][2]["running"] == false;
  }));
  EXPECT_EQ(job.wait(), 0) << job.err();
  EXPECT_EQ(json_of("status.json")["state"], "completed");
  EXPECT_TRUE(events("warning").empty());
}

TEST_F(LaunchTest, WhatRanksLeaveBehindIsEnded) {
  const Json leaves_one = {{{"escaped_grandchild", 1}}, {{"beat", 0.3}}, {{"exit", 65}}};
  Launched job(words(kTwo), script({{{"0", leaves_one}, {"1", forever()}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 65);
  EXPECT_TRUE(processes_of_run().empty());
  ASSERT_EQ(events("warning").size(), 1U);
  EXPECT_EQ(events("warning")[0]["code"], "orphans_killed");
}

TEST_F(LaunchTest, ARankWithoutHeartbeatIsFound) {
  const Json silent = {{{"beat", 0.3}}, {{"silence", 1}}};
  Launched job(words(kTwo, {"--deadline", "1"}), script({{{"0", forever()}, {"1", silent}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 75);
  EXPECT_NE(job.err().find("rank 1 (cpu:1) failed in phase train"), std::string::npos) << job.err();
  EXPECT_NE(job.err().find("no heartbeat"), std::string::npos) << job.err();
}

TEST_F(LaunchTest, BrokenAndHugeLinesAreSkippedAndCounted) {
  const Json actions = {started(),
                        {{"raw", "{\"event\": \"metr"}},
                        {{"sleep", 0.3}},
                        {{"raw", "ics\", \"rank\": 0, \"step\": 5, \"values\": {\"loss\": 2}}\n"}},
                        {{"raw", "not json\n"}},
                        {{"raw", "{\"event\": \"metrics\", \"rank\": 0, \"step\": -1, \"values\": 7}\n"}},
                        {{"huge", 200000}},
                        metrics(10),
                        {{"make_sae", 1}},
                        finished(100),
                        {{"exit", 0}}};
  Launched job(words("cpu:0"), script({{{"0", actions}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 0) << job.err();
  ASSERT_EQ(events("metrics").size(), 2U);
  EXPECT_EQ(events("metrics")[0]["step"], 5);
  ASSERT_FALSE(events("warning").empty());
  EXPECT_EQ(events("warning").back()["count"], 3);
  EXPECT_NE(events("warning").back()["message"].get<std::string>().find("1 too long"), std::string::npos);
  expect_gapless();
}

TEST_F(LaunchTest, ARestartGoesOnFromTheCheckpointWithoutAGapInSeq) {
  const Json first = {started(), metrics(10), metrics(30), {{"beat", 0.2}}, {{"kill", 9}}};
  Json plan = script({{{"0", first}, {"1", forever()}}, {{"0", good_leader()}, {"1", good_peer()}}});
  plan["checkpoints"] = {{"step", 20}, {"warnings", {"step-00000030: damaged"}}};
  fs::create_directories(run_ / "checkpoints/step-00000020");
  Launched job(words(kTwo, {"--max-restarts", "1"}), plan, folder_, "a");
  EXPECT_EQ(job.wait(), 0) << job.err();
  expect_gapless();
  ASSERT_EQ(events("rewind").size(), 1U);
  EXPECT_EQ(events("rewind")[0]["step"], 20);
  EXPECT_EQ(events("rewind")[0]["attempt"], 2);
  ASSERT_EQ(events("started").size(), 2U);
  EXPECT_EQ(events("started")[1]["attempt"], 2);
  EXPECT_TRUE(events("failed").empty());
  EXPECT_NE(job.err().find("step-00000030: damaged"), std::string::npos) << job.err();
}

TEST_F(LaunchTest, TheRestartBudgetIsSpentAndOnlyFor75) {
  const Json lost = {{{"beat", 0.1}}, {{"exit", 75}}};
  Launched job(words("cpu:0", {"--max-restarts", "2"}), script({{{"0", lost}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 75);
  EXPECT_EQ(events("failed")[0]["attempt"], 3);
  fs::remove_all(run_);
  Launched bad(words("cpu:0", {"--max-restarts", "2"}), script({{{"0", {{{"exit", 70}}}}}}), folder_, "b");
  EXPECT_EQ(bad.wait(), 70);
  EXPECT_EQ(events("failed")[0]["attempt"], 1);
}

TEST_F(LaunchTest, TermIsForwardedToRankZero) {
  const Json leader = {
      started(), {{"beat_until", "TERM"}}, say({{"event", "paused"}, {"step", 42}}), {{"exit", 130}}};
  const Json peer = {{{"beat", 2}}, {{"exit", 130}}};
  Launched job(words(kTwo), script({{{"0", leader}, {"1", peer}}}), folder_, "a");
  ASSERT_TRUE(eventually([&] { return !events("started").empty(); }));
  job.signal(SIGTERM);
  EXPECT_EQ(job.wait(), 130) << job.err();
  ASSERT_EQ(events("paused").size(), 1U);
  EXPECT_EQ(events("paused")[0]["step"], 42);
  EXPECT_EQ(json_of("exit.json")["code"], 130);
  EXPECT_EQ(json_of("status.json")["state"], "paused");
}

TEST_F(LaunchTest, TheSecondInterruptKills) {
  Launched job(words(kTwo), script({{{"*", forever()}}}), folder_, "a");
  ASSERT_TRUE(
      eventually([&] { return processes_of_run().size() == 3 && json_of("status.json").is_object(); }));
  job.signal(SIGINT);
  ASSERT_TRUE(eventually([&] { return json_of("status.json").value("state", "") == "pausing"; }));
  job.signal(SIGINT);
  EXPECT_EQ(job.wait(), 130);
  EXPECT_EQ(json_of("exit.json")["reason"], "cancelled");
}

TEST_F(LaunchTest, SaveAndFinishAreForwardedOnceRankZeroTrains) {
  Json leader = {
      {{"sleep", 1}},
      started(),
      {{"beat_until", "USR1"}},
      say({{"event", "checkpoint"}, {"step", 7}, {"path", "checkpoints/step-00000007"}, {"bytes", 1}}),
      {{"beat_until", "USR2"}},
      {{"make_sae", 1}},
      finished(8),
      {{"exit", 0}}};
  Launched job(words("cpu:0"), script({{{"0", leader}}}), folder_, "a");
  ASSERT_TRUE(eventually([&] {
    const Json status = json_of("status.json");
    return status.is_object() && !status["ranks"].empty();
  }));
  job.signal(SIGUSR1);
  ASSERT_TRUE(eventually([&] { return !events("checkpoint").empty(); }));
  job.signal(SIGUSR2);
  EXPECT_EQ(job.wait(), 0) << job.err();
}

TEST_F(LaunchTest, NoRankOutlivesAKilledLauncher) {
  Launched job(words(kTwo), script({{{"*", forever()}}}), folder_, "a");
  ASSERT_TRUE(eventually([&] { return processes_of_run().size() == 3; }));
  job.signal(SIGKILL);
  job.wait();
  EXPECT_TRUE(eventually([&] { return processes_of_run().empty(); }, 5));
}

TEST_F(LaunchTest, ASecondLauncherAndAnOldRunAreRefused) {
  const Json leader = {
      started(), {{"beat_until", "TERM"}}, say({{"event", "paused"}, {"step", 1}}), {{"exit", 130}}};
  Launched job(words("cpu:0"), script({{{"0", leader}}}), folder_, "a");
  ASSERT_TRUE(eventually([&] { return !events("started").empty(); }));
  Launched second(words("cpu:0", {"--resume"}), script({{{"0", leader}}}), folder_, "b");
  EXPECT_EQ(second.wait(), 64);
  EXPECT_NE(second.err().find("another saemill"), std::string::npos) << second.err();
  job.signal(SIGTERM);
  EXPECT_EQ(job.wait(), 130);
  const std::string before = text_of(run_ / "events.jsonl");
  Launched third(words("cpu:0"), script({{{"0", leader}}}), folder_, "c");
  EXPECT_EQ(third.wait(), 64);
  EXPECT_NE(third.err().find("--resume"), std::string::npos) << third.err();
  EXPECT_EQ(text_of(run_ / "events.jsonl"), before);
}

TEST_F(LaunchTest, ResumeContinuesOrRefusesOrFindsNothingToDo) {
  const Json stopped = {started(),
                        metrics(30),
                        {{"beat_until", "TERM"}},
                        say({{"event", "paused"}, {"step", 31}}),
                        {{"exit", 130}}};
  Json plan = script({{{"0", stopped}}, {{"0", good_leader()}}});
  Launched job(words("cpu:0"), plan, folder_, "a");
  ASSERT_TRUE(eventually([&] { return !events("metrics").empty(); }));
  job.signal(SIGTERM);
  EXPECT_EQ(job.wait(), 130);

  write_config("seed = 5\n");
  Launched changed(words("cpu:0", {"--resume"}), plan, folder_, "b");
  EXPECT_EQ(changed.wait(), 78);
  EXPECT_NE(changed.err().find("train.seed"), std::string::npos) << changed.err();

  write_config("log_every = 7\n");
  Launched resumed(words("cpu:0", {"--resume"}), plan, folder_, "c");
  EXPECT_EQ(resumed.wait(), 0) << resumed.err();
  ASSERT_EQ(events("rewind").size(), 1U);
  EXPECT_EQ(events("rewind")[0]["step"], 0);
  EXPECT_EQ(events("finished")[0]["attempt"], 2);
  expect_gapless();

  const std::string before = text_of(run_ / "events.jsonl");
  Launched again(words("cpu:0", {"--resume"}), plan, folder_, "d");
  EXPECT_EQ(again.wait(), 0) << again.err();
  EXPECT_NE(again.err().find("finished"), std::string::npos);
  EXPECT_EQ(text_of(run_ / "events.jsonl"), before);
}

TEST_F(LaunchTest, ItGoesBackToAChosenCheckpoint) {
  const Json stopped = {started(), metrics(30), {{"kill", 9}}};
  Json plan = script({{{"0", stopped}}, {{"0", stopped}}, {{"0", good_leader()}}});
  Launched job(words("cpu:0"), plan, folder_, "a");
  EXPECT_EQ(job.wait(), 75);
  for (const char* name : {"step-00000010", "step-00000020", "step-00000030"})
    fs::create_directories(run_ / "checkpoints" / name);
  const std::string before = text_of(run_ / "events.jsonl");
  const auto resumed = [&](const char* name, const char* step, int code) {
    Launched again(words("cpu:0", {"--resume", "--from-checkpoint", step}), plan, folder_, name);
    EXPECT_EQ(again.wait(), code) << again.err();
    return again.err();
  };
  EXPECT_NE(resumed("b", "step-00000015", 64).find("step-00000010, step-00000020, step-00000030"),
            std::string::npos);
  plan["checkpoints"] = {{"step", 10}, {"warnings", {"step-00000020: damaged"}}};
  EXPECT_NE(resumed("c", "step-00000020", 65).find("step-00000020: damaged"), std::string::npos);
  EXPECT_TRUE(fs::exists(run_ / "checkpoints/step-00000030"))
      << "nothing is lost before the choice is written";
  EXPECT_TRUE(events("rewind").empty());
  plan["checkpoints"] = {{"step", 10}, {"warnings", Json::array()}};
  resumed("d", "step-00000010", 75);
  ASSERT_EQ(events("rewind").size(), 1U);
  EXPECT_EQ(events("rewind")[0]["step"], 10);
  EXPECT_EQ(events("rewind")[0]["chosen"], true);
  EXPECT_TRUE(fs::exists(run_ / "checkpoints/step-00000010"));
  for (const char* name : {"step-00000020", "step-00000030"})
    EXPECT_FALSE(fs::exists(run_ / "checkpoints" / name));
  resumed("e", "step-00000010", 0);
  EXPECT_EQ(events("rewind").size(), 2U);
  EXPECT_NE(resumed("f", "step-00000010", 64).find("finished"), std::string::npos);
  expect_gapless();
}

TEST_F(LaunchTest, WhatAChoiceLeftBehindIsNeverTakenUp) {
  const Json stopped = {started(), metrics(30), {{"kill", 9}}};
  Json plan = script({{{"0", stopped}}, {{"0", good_leader()}}});
  Launched job(words("cpu:0"), plan, folder_, "a");
  EXPECT_EQ(job.wait(), 75);
  // As a launcher leaves it that was killed between the rewind and the deletion.
  const auto seq = static_cast<int>(events().size()) + 1;
  std::ofstream(run_ / "events.jsonl", std::ios::app)
      << Json{{"seq", seq}, {"attempt", 2}, {"event", "rewind"}, {"step", 10}, {"chosen", true}} << "\n";
  for (const char* name : {"step-00000010", "step-00000020"})
    fs::create_directories(run_ / "checkpoints" / name);
  plan["checkpoints"] = {{"step", 10}, {"warnings", Json::array()}};
  Launched again(words("cpu:0", {"--resume"}), plan, folder_, "b");
  EXPECT_EQ(again.wait(), 0) << again.err();
  EXPECT_FALSE(fs::exists(run_ / "checkpoints/step-00000020"));
  EXPECT_TRUE(fs::exists(run_ / "checkpoints/step-00000010"));
  expect_gapless();
}

TEST_F(LaunchTest, WhatTheWorkerSaysOfTheDataIsPassedOn) {
  Json plan = script(Json::array());
  plan["inspect"] = {{"exit", 65}, {"stderr", "saemill-worker: x.npy: too short"}};
  Launched job(words("cpu:0"), plan, folder_, "a");
  EXPECT_EQ(job.wait(), 65);
  EXPECT_EQ(job.err(), "saemill: x.npy: too short\n");
}

TEST_F(LaunchTest, TheLauncherShowsThatItLivesWhileTheWorkerIsAsked) {
  Json plan = script({{{"0", good_leader()}}});
  plan["inspect"]["sleep"] = 3;
  Launched job(words("cpu:0"), plan, folder_, "a");
  const fs::path path = run_ / "status.json";
  ASSERT_TRUE(eventually([&] { return json_of("status.json").is_object(); }, 2));
  const Json first = json_of("status.json");
  EXPECT_EQ(first["state"], "starting");
  EXPECT_EQ(first["phase"], "inspect");
  EXPECT_EQ(first["pid"], job.pid());
  EXPECT_GT(first["start_time"], 0);
  EXPECT_EQ(first["step"], 0);
  EXPECT_EQ(first["ranks"], Json::array());
  const auto written = fs::last_write_time(path);
  EXPECT_TRUE(eventually([&] { return fs::last_write_time(path) > written; }, 2));
  EXPECT_EQ(json_of("status.json")["phase"], "inspect");
  EXPECT_EQ(job.wait(), 0) << job.err();
  EXPECT_EQ(json_of("status.json")["state"], "completed");
}

TEST_F(LaunchTest, ARankThatPrintsWithoutEndDoesNotFillTheDisk) {
  Json chatty = Json::array({started()});
  for (int i = 0; i < 6; ++i) {
    chatty.push_back({{"flood", 10}});
    chatty.push_back({{"beat", 0.5}});
  }
  chatty.push_back({{"print", "the last line"}});
  chatty.push_back({{"exit", 65}});
  Launched job(words("cpu:0"), script({{{"0", chatty}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 65);
  const fs::path log = run_ / "logs/rank-0.log", earlier = run_ / "logs/rank-0.log.1";
  ASSERT_TRUE(fs::exists(earlier));
  EXPECT_LE(fs::file_size(log) + fs::file_size(earlier), uintmax_t{24} << 20);
  EXPECT_TRUE((text_of(earlier) + text_of(log)).ends_with("the last line\n"));
  EXPECT_NE(job.err().find("| the last line"), std::string::npos) << job.err();
}

TEST_F(LaunchTest, ACheckpointIsWrittenOnceThoughItIsToldAgain) {
  const Json saved = say(
      {{"event", "checkpoint"}, {"step", 20}, {"path", "c/step-00000020"}, {"bytes", 1}, {"kept", {10, 20}}});
  const Json first = {started(), saved, {{"beat", 0.2}}, {{"kill", 9}}};
  Json second = good_leader();
  second.insert(second.begin() + 1, saved);
  Json plan = script({{{"0", first}}, {{"0", second}}});
  plan["checkpoints"] = {{"step", 20}, {"warnings", Json::array()}};
  fs::create_directories(run_ / "checkpoints/step-00000020");
  Launched job(words("cpu:0", {"--max-restarts", "1"}), plan, folder_, "a");
  EXPECT_EQ(job.wait(), 0) << job.err();
  ASSERT_EQ(events("checkpoint").size(), 1U);
  EXPECT_EQ(events("checkpoint")[0]["kept"], Json({10, 20}));
  // One that the launcher did not hear of.
  fs::remove_all(run_);
  fs::create_directories(run_ / "checkpoints/step-00000020");
  plan["attempts"][0]["0"].erase(1);
  Launched missed(words("cpu:0", {"--max-restarts", "1"}), plan, folder_, "b");
  EXPECT_EQ(missed.wait(), 0) << missed.err();
  ASSERT_EQ(events("checkpoint").size(), 1U);
  EXPECT_EQ(events("checkpoint")[0]["attempt"], 2);
}

TEST_F(LaunchTest, AnErrorOfTheLauncherItselfEndsTheRunInItsFolderToo) {
  Json plan = script({{{"0", {started(), {{"exit", 75}}}}}});
  plan["checkpoints"] = {{"exit", 70}, {"stderr", "cannot read"}};
  fs::create_directories(run_ / "checkpoints/step-00000020");
  Launched job(words("cpu:0", {"--max-restarts", "1"}), plan, folder_, "a");
  EXPECT_EQ(job.wait(), 70);
  EXPECT_EQ(json_of("exit.json")["code"], 70);
  EXPECT_EQ(json_of("status.json")["state"], "failed");
}

TEST_F(LaunchTest, DevicesAreChecked) {
  const std::vector<std::pair<std::string, std::string>> cases{{"gpu:99", "there is no device gpu:99"},
                                                               {"cpu:0,cpu:0", "cpu:0 is named twice"},
                                                               {"cpu:x", "'cpu:x' is not a device"}};
  for (const auto& [devices, message] : cases) {
    Launched job(words(devices), script(Json::array()), folder_, "a");
    EXPECT_EQ(job.wait(), 64) << devices;
    EXPECT_NE(job.err().find(message), std::string::npos) << job.err();
  }
  EXPECT_FALSE(fs::exists(run_));
}

TEST_F(LaunchTest, RunsAreNumberedAndEventsGoToStdout) {
  for (const char* expected : {"runs/test", "runs/test-2"}) {
    Launched job({"train", (folder_ / "config.toml").string(), "--worker", SAEMILL_BIN_DIR "/fake_worker",
                  "--progress", "json"},
                 script({{{"0", good_leader()}}}), folder_, "a");
    EXPECT_EQ(job.wait(), 0) << job.err();
    EXPECT_EQ(job.out(), text_of(folder_ / expected / "events.jsonl"));
  }
}

TEST_F(LaunchTest, TheBarEndsWithAReport) {
  Launched job(words("cpu:0", {"bar"}), script({{{"0", good_leader()}}}), folder_, "a");
  EXPECT_EQ(job.wait(), 0) << job.err();
  for (const char* part : {"FVU", "0.75", "activations per second", "saemill eval"}) {
    EXPECT_NE(job.out().find(part), std::string::npos) << part << " in " << job.out();
  }
}

TEST_F(LaunchTest, OtherCommandsAreExecutedWithTheirArguments) {
  Launched job({"eval", "SAE", "--activations", "a b", "--worker", SAEMILL_BIN_DIR "/fake_worker", "--json"},
               {{"other_exit", 65}}, folder_, "a");
  EXPECT_EQ(job.wait(), 65) << job.err();
  EXPECT_EQ(job.out(), "eval\nSAE\n--activations\na b\n--json\n");
  Launched wrong({"train", "--no-such-option"}, Json::object(), folder_, "b");
  EXPECT_EQ(wrong.wait(), 64);
  Launched unknown({"trian", "x"}, Json::object(), folder_, "d");
  EXPECT_EQ(unknown.wait(), 64);
  EXPECT_NE(unknown.err().find("'trian' is not a command"), std::string::npos) << unknown.err();
  Launched version({"--version"}, Json::object(), folder_, "c");
  EXPECT_EQ(version.wait(), 0);
  EXPECT_TRUE(version.out().starts_with("saemill "));
}

}  // namespace
}  // namespace saemill
