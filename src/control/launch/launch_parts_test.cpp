#include <gtest/gtest.h>

#include <chrono>
#include <fstream>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/base/temporary_folder.h"
#include "common/protocol/worker_protocol.h"
#include "control/launch/cause.h"
#include "control/launch/devices.h"
#include "control/launch/report_reader.h"
#include "control/launch/run_folder.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;

int code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.exit_code();
  }
  return 0;
}

TEST(Devices, AreReadInTheOrderGiven) {
  EXPECT_EQ(parse_devices("auto").automatic, 1);
  EXPECT_EQ(parse_devices("auto:2").automatic, 2);
  EXPECT_EQ(parse_devices("cpu:3,cpu:0").names, (std::vector<std::string>{"cpu:3", "cpu:0"}));
  EXPECT_EQ(parse_devices("gpu:1,GPU-12345678,2").names,
            (std::vector<std::string>{"gpu:1", "GPU-12345678", "2"}));
  EXPECT_EQ(cpu_slots(2), (std::vector<JobDevice>{{"cpu:0", ""}, {"cpu:1", ""}}));
}

TEST(Devices, OthersAreRefused) {
  for (const char* text : {"", "gpu:", "gpu:x", "gpu:0,gpu:0", "cpu", "cpu:", "cpu:-1", "cpu:1x", "cpu:0,",
                           "cpu:1,cpu:01", "auto:0", "tpu:0", "cpu:99999999999"}) {
    EXPECT_EQ(code_of([&] { parse_devices(text); }), 64) << text;
  }
}

TEST(LineSplitter, WaitsForTheRestOfALineAndSkipsLongOnes) {
  LineSplitter splitter(8);
  std::vector<std::string> lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  splitter.feed("ab", keep);
  EXPECT_TRUE(lines.empty());
  splitter.feed("c\n1234567\n12345678\nd", keep);
  splitter.feed("0123456789", keep);
  EXPECT_EQ(splitter.pending(), 0U);
  splitter.feed("0123456789\ne\n\n", keep);
  EXPECT_EQ(lines, (std::vector<std::string>{"abc", "1234567", "e", ""}));
  EXPECT_EQ(splitter.too_long(), 2);
}

TEST(Report, OnlyWhatTheProtocolNamesIsTaken) {
  EXPECT_FALSE(parse_report(R"({"event":"heartbeat","rank":1,"step":3,"phase":"train"})").is_discarded());
  EXPECT_FALSE(
      parse_report(R"({"event":"metrics","rank":0,"step":3,"values":{"a":1,"b":null}})").is_discarded());
  EXPECT_FALSE(parse_report(R"({"event":"metrics","rank":0,"step":3,"values":{},"ranks":{"a":[1,null]}})")
                   .is_discarded());
  for (const char* line : {"", "7", "[]", "{", R"({"event":"heartbeat"})", R"({"event":"other","rank":0})",
                           R"({"event":"heartbeat","rank":"0","step":3,"phase":"train"})",
                           R"({"event":"metrics","rank":0,"step":3,"values":{"a":"1"}})",
                           R"({"event":"metrics","rank":0,"step":3,"values":{},"ranks":{"a":1}})",
                           R"({"event":"metrics","rank":0,"step":3,"values":{},"ranks":{"a":["1"]}})",
                           R"({"event":"metrics","rank":0,"step":-3,"values":{}})",
                           R"({"event":"finished","rank":0,"step":3})"}) {
    EXPECT_TRUE(parse_report(line).is_discarded()) << line;
  }
}

TEST(ReportReader, ReadsWhatIsThereUntilTheEnd) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const std::string text = "{\"event\":\"paused\",\"rank\":0,\"step\":3}\nnonsense\n";
  ASSERT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ::close(ends[1]);
  ReportReader reader{Fd(ends[0])};
  int reports = 0;
  EXPECT_FALSE(reader.read_available([&](const auto&) { ++reports; }));
  EXPECT_FALSE(reader.open());
  EXPECT_EQ(reports, 1);
  EXPECT_EQ(reader.skipped(), 1);
}

TEST(Cause, TheRankThatFailedByItselfWinsOverItsPeers) {
  const Failure peer{FailureKind::exited, 0, 75, "peer lost", "", "", 0};
  const Failure silent{FailureKind::silent, 1, 75, "silent", "", "", 0};
  const Failure killed{FailureKind::signal, 2, 75, "killed", "", "", 0};
  const Failure data{FailureKind::exited, 3, 65, "bad data", "", "", 0};
  const Failure bug{FailureKind::exited, 4, 70, "bug", "", "", 0};
  EXPECT_EQ(first_cause({peer}).rank, 0);
  EXPECT_EQ(first_cause({peer, silent}).rank, 1);
  EXPECT_EQ(first_cause({peer, silent, killed}).rank, 2);
  EXPECT_EQ(first_cause({peer, killed, data, bug}).rank, 3);
  EXPECT_EQ(first_cause({bug, data}).rank, 4);
  EXPECT_EQ(job_code(78), 78);
  EXPECT_EQ(job_code(1), 70);
}

class RunFolderTest : public ::testing::Test {
 protected:
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
};

TEST_F(RunFolderTest, NamesAreNumberedAndChecked) {
  EXPECT_EQ(RunFolder::create_numbered(folder_, "a").path(), folder_ / "a");
  EXPECT_EQ(RunFolder::create_numbered(folder_, "a").path(), folder_ / "a-2");
  EXPECT_EQ(code_of([&] { RunFolder::create_numbered(folder_, "../a"); }), 78);
}

TEST_F(RunFolderTest, OneLauncherAtATimeAndNoRunTwice) {
  {
    RunFolder run = RunFolder::open(folder_ / "r", false);
    EXPECT_EQ(code_of([&] { RunFolder::open(folder_ / "r", true); }), 64);
    run.begin({{"name", "a"}});
  }
  EXPECT_EQ(code_of([&] { RunFolder::open(folder_ / "r", false); }), 64);
  EXPECT_EQ(code_of([&] { RunFolder::open(folder_ / "r", true); }), 0);
  std::ofstream(folder_ / "file") << "x";
  EXPECT_EQ(code_of([&] { RunFolder::open(folder_ / "file", true); }), 64);
}

TEST_F(RunFolderTest, HistoryAndTheEndOfARun) {
  RunFolder run = RunFolder::open(folder_ / "r", false);
  run.begin(nlohmann::ordered_json::object());
  EXPECT_EQ(run.history().last_step, -1);
  std::ofstream(run.events_path()) << R"({"seq":1,"attempt":1,"event":"metrics","step":30})"
                                   << "\n"
                                   << R"({"seq":2,"attempt":2,"event":"rewind","step":20})"
                                   << "\n"
                                   << R"({"seq":3,"attempt":2,"event":"metrics","step":25})"
                                   << "\n{\"seq\":4,\"at";
  EXPECT_EQ(run.history().last_attempt, 2);
  EXPECT_EQ(run.history().last_step, 25);
  EXPECT_EQ(run.history().chosen_step, -1);
  run.write_exit({{"code", 0}});
  EXPECT_FALSE(run.finished());
  fs::create_directories(run.path() / "sae");
  std::ofstream(run.path() / "sae" / "cfg.json") << "{}";
  EXPECT_TRUE(run.finished());
}

TEST(EventHistory, AChoiceHoldsUntilTheRunIsBeyondIt) {
  EventHistory history;
  const auto add = [&](const char* event, int64_t step) {
    nlohmann::ordered_json line{{"event", event}, {"step", step}};
    if (std::string_view(event) == "rewind") line["chosen"] = true;
    history.add(line);
    return history.chosen_step;
  };
  EXPECT_EQ(add("metrics", 300), -1);
  EXPECT_EQ(add("rewind", 100), 100);
  EXPECT_EQ(history.last_step, 100);
  EXPECT_EQ(add("started", 100), 100);
  EXPECT_EQ(add("checkpoint", 100), 100);
  EXPECT_EQ(add("metrics", 105), -1);
  EXPECT_EQ(add("rewind", 100), 100);
  history.add({{"event", "rewind"}, {"step", 50}});
  EXPECT_EQ(history.chosen_step, -1) << "an ordinary one";
}

TEST_F(RunFolderTest, TheTimeOfTheStatusIsASignOfLifeWithoutRoomToo) {
  const RunFolder run = RunFolder::open(folder_ / "r", false);
  const fs::path status = run.path() / "status.json";
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  run.write_status({{"step", 1}});
  fs::last_write_time(status, long_ago);
  fs::create_directories(run.path() / "status.json.tmp");  // nothing can be written there
  run.write_status({{"step", 2}});
  EXPECT_GT(fs::last_write_time(status), long_ago + std::chrono::minutes(50));
  EXPECT_EQ(read_file(status), "{\"step\":1}\n");
  fs::remove(run.path() / "status.json.tmp");
  run.write_status({{"step", 3}});
  EXPECT_EQ(read_file(status), "{\"step\":3}\n");
  // What can be written but not put in its place.
  fs::remove(status);
  fs::create_directories(status / "in the way");
  fs::last_write_time(status, long_ago);
  run.write_status({{"step", 4}});
  EXPECT_GT(fs::last_write_time(status), long_ago + std::chrono::minutes(50));
}

TEST_F(RunFolderTest, TheTailOfALogBeginsWhereTheAttemptBegan) {
  const fs::path log = folder_ / "log";
  std::ofstream(log) << "old\na\nb\nc\n";
  EXPECT_EQ(tail_of(log, 4, 5), "a\nb\nc");
  EXPECT_EQ(tail_of(log, 4, 2), "b\nc");
  EXPECT_EQ(tail_of(log, 10, 2), "");
  EXPECT_EQ(tail_of(folder_ / "none", 0, 2), "");
}

}  // namespace
}  // namespace saemill
