#include "control/jobs/event_reader.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <thread>

#include "common/base/error.h"
#include "common/base/file.h"
#include "control/store/trainings.h"
#include "tests/run_rows.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

using testing_tools::expected_rows;
using testing_tools::PostgresServer;
using testing_tools::RunRows;
using testing_tools::stored_rows;
using Json = nlohmann::json;

class EventReaderTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    testing_tools::StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    begin("a");
  }
  // A new training with a new file.
  void begin(const std::string& id) {
    id_ = id;
    path_ = folder_ / (id + ".jsonl");
    std::vector<TrainingRow> rows(1);
    rows[0].id = id;
    Trainings(*database_).insert(rows);
    text_.clear();
    told_.clear();
    seq_ = 0;
    restart();
  }
  void restart() { reader_ = std::make_unique<EventReader>(*database_, id_, path_); }
  void write(const std::string& bytes) {
    std::ofstream(path_, std::ios::app | std::ios::binary) << bytes;
    text_ += bytes;
  }
  // In this order, which a sum would not promise.
  static std::string joined(std::initializer_list<std::string> lines) {
    std::string all;
    for (const std::string& each : lines) all += each;
    return all;
  }
  std::string line(Json event) {
    event["seq"] = event.value("seq", ++seq_);
    seq_ = event["seq"];
    event["time"] = utc_time(1.8e9 + static_cast<double>(seq_));
    return event.dump() + "\n";
  }
  std::string loss(int64_t step, double value) {
    return line({{"event", "metrics"}, {"attempt", 1}, {"step", step}, {"values", {{"loss", value}}}});
  }
  // Until nothing comes.
  void read_all() {
    while (read_once()) {
    }
  }
  bool read_once() {
    const auto events = reader_->read_more();
    for (const AppliedEvent& event : events) {
      const bool own = event.data.value("code", "") == "missing_events" || event.seq == 0;
      if (!own) told_.push_back(event.seq);
      EXPECT_EQ(event.data.value("seq", int64_t{-1}), event.seq);
      EXPECT_EQ(event.data.value("event", ""), event.event);
    }
    return !events.empty();
  }
  void expect_as_expected() const {
    const RunRows is = stored_rows(*database_, id_), must = expected_rows(text_);
    EXPECT_EQ(is.metrics, must.metrics);
    EXPECT_EQ(is.checkpoints, must.checkpoints);
    EXPECT_EQ(is.events, must.events);
    EXPECT_EQ(is.offset, must.offset);
    EXPECT_EQ(is.seq, must.seq);
    EXPECT_EQ(is.skipped, must.skipped);
    EXPECT_EQ(is.current_step, must.current_step);
    EXPECT_EQ(is.total_steps, must.total_steps);
    EXPECT_EQ(is.attempt, must.attempt);
    EXPECT_EQ(told_, must.told);
  }
  Error error_of_reading() {
    try {
      reader_->read_more();
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::internal, "nothing was thrown");
  }
  RunRows stored() const { return stored_rows(*database_, id_); }

  std::unique_ptr<Database> database_;
  std::unique_ptr<EventReader> reader_;
  std::string id_, text_;
  std::filesystem::path path_;
  std::vector<int64_t> told_;
  int64_t seq_ = 0;
};
SAEMILL_STORE_TESTS(EventReaderTest);

class PostgresqlReaderTest : public EventReaderTest {};
INSTANTIATE_TEST_SUITE_P(Servers, PostgresqlReaderTest, testing::Values(Dialect::postgresql),
                         testing_tools::name_of);

TEST_P(EventReaderTest, ReadsWhatALauncherWrites) {
  read_all();
  EXPECT_TRUE(told_.empty()) << "no file yet";
  {
    EventLog log(path_);
    log.append(1, {{"event", "started"}, {"step", 0}, {"total_steps", 40}, {"plan", Json::object()}});
    log.append(1, {{"event", "metrics"}, {"step", 10}, {"values", {{"loss", 0.5}, {"fvu", nullptr}}}});
    log.append(1, {{"event", "checkpoint"}, {"step", 10}, {"path", "/r/checkpoints/step-10"}, {"bytes", 7}});
    log.append(1, {{"event", "warning"}, {"code", "x"}, {"message", "\xff"}, {"rank", 1}});
  }
  read_all();
  text_ = read_file(path_);
  expect_as_expected();
  EXPECT_EQ(told_.size(), 4U);
  const RunRows rows = stored();
  EXPECT_EQ(std::get<0>(rows.metrics.at({"loss", -1, 10})), 0.5);
  EXPECT_FALSE(std::get<0>(rows.metrics.at({"fvu", -1, 10})));
  EXPECT_EQ(std::get<0>(rows.checkpoints.at(10)), "step-10");
  EXPECT_EQ(rows.total_steps, 40);
  EXPECT_FALSE(rows.events.contains(2)) << "metrics are no events";
}

TEST_P(EventReaderTest, ByteByByteIsAsOneReading) {
  std::string all = joined({line({{"event", "started"}, {"attempt", 1}, {"step", 0}, {"total_steps", 9}}),
                            loss(1, 3), "garbage\n", loss(2, 2), "\n"});
  seq_ += 2;
  all +=
      joined({loss(3, 1), line({{"event", "rewind"}, {"attempt", 2}, {"step", 1}}), loss(2, 5), "{\"seq\":"});
  for (const char byte : all) {
    write(std::string(1, byte));
    read_all();
  }
  expect_as_expected();
  EXPECT_EQ(stored().skipped, 2);
  begin("at once");
  write(all);
  read_all();
  expect_as_expected();
}

TEST_P(EventReaderTest, ARewindTakesBackLaterSteps) {
  for (int64_t step = 10; step <= 40; step += 10) {
    write(joined(
        {loss(step, 1), line({{"event", "checkpoint"}, {"step", step}, {"path", "c"}, {"bytes", step}})}));
  }
  write(joined({line({{"event", "rewind"}, {"attempt", 2}, {"step", 20}}), loss(30, 2)}));
  read_all();
  expect_as_expected();
  const RunRows rows = stored();
  EXPECT_EQ(rows.metrics.size(), 3U);
  EXPECT_EQ(rows.current_step, 30);
  EXPECT_FALSE(std::get<3>(rows.checkpoints.at(20)));
  EXPECT_TRUE(std::get<3>(rows.checkpoints.at(30)));
}

TEST_P(EventReaderTest, CheckpointsThatWereRemovedAreKnown) {
  const auto saved = [&](int64_t step, const Json& kept) {
    return line({{"event", "checkpoint"}, {"step", step}, {"path", "c"}, {"bytes", 1}, {"kept", kept}});
  };
  write(joined({saved(10, Json::array({10})), saved(20, {10, 20}), saved(30, {20, 30})}));
  read_all();
  expect_as_expected();
  // After a crash: 40 was written and 20 removed, and nobody was told.
  write(saved(50, {40, 50}));
  read_all();
  expect_as_expected();
  const auto left = [&] {
    std::vector<int64_t> steps;
    for (const auto& [step, row] : stored().checkpoints)
      if (!std::get<3>(row)) steps.push_back(step);
    return steps;
  };
  EXPECT_EQ(left(), std::vector<int64_t>{50});
  // A list that is not right says nothing.
  for (const Json& bad : {Json("x"), Json(7), Json({60, "x"}), Json({-1}), Json({1.5}), Json(nullptr)})
    write(saved(60, bad));
  read_all();
  EXPECT_EQ(left(), (std::vector<int64_t>{50, 60}));
  write(saved(70, Json::array()));
  read_all();
  EXPECT_EQ(left(), std::vector<int64_t>{70});
}

TEST_P(EventReaderTest, RepeatsArePassedOverAndGapsReportedOnce) {
  write(joined({loss(1, 1), loss(2, 2)}));
  read_all();
  seq_ = 0;
  write(joined({loss(1, 7), loss(2, 8), loss(3, 3)}));
  seq_ = 7;
  write(joined({loss(4, 4), loss(5, 5)}));
  read_all();
  expect_as_expected();
  EXPECT_EQ(std::get<0>(stored().metrics.at({"loss", -1, 1})), 1.0);
  EXPECT_EQ(std::get<3>(stored().events.at(4)), "4 to 7");
  EXPECT_EQ(stored().events.size(), 1U);
}

TEST_P(EventReaderTest, LinesThatAreNoEventsAreCounted) {
  const std::string deep =
      R"({"seq":1,"event":"x","y":)" + std::string(30000, '[') + std::string(30000, ']') + "}\n";
  const std::vector<std::string> bad = {
      "\n",
      "x\n",
      "[]\n",
      "null\n",
      "{}\n",
      "\xff\xfe\n",
      std::string("\0\n", 2),
      deep,
      "{\"seq\":1}\n",
      "{\"event\":\"x\"}\n",
      "{\"seq\":\"1\",\"event\":\"x\"}\n",
      "{\"seq\":1,\"event\":7}\n",
      "{\"seq\":0,\"event\":\"x\"}\n",
      "{\"seq\":-1,\"event\":\"x\"}\n",
      "{\"seq\":1.5,\"event\":\"x\"}\n",
      "{\"seq\":18446744073709551615,\"event\":\"x\"}\n",
      "{\"seq\":1,\"event\":\"metrics\",\"values\":{}}\n",
      "{\"seq\":1,\"event\":\"rewind\"}\n",
      "{\"seq\":1,\"event\":\"rewind\",\"step\":-1}\n",
      "{\"seq\":1,\"event\":\"checkpoint\",\"step\":1}\n",
      "{\"seq\":1,\"event\":\"metrics\",\"step\":1,\"values\":{\"" + std::string(5000, 'n') + "\":1}}\n",
      "{\"seq\":1,\"event\":\"metrics\",\"step\":1,\"values\":{\"a\":1e999}}\n"};
  int64_t count = 0;
  for (const std::string& line : bad) {
    write(line);
    if (count % 3 == 0) read_all();
    ++count;
  }
  write(loss(1, 1));
  read_all();
  EXPECT_EQ(stored().skipped, count);
  EXPECT_EQ(std::get<3>(stored().events.at(0)), std::to_string(count));
  EXPECT_EQ(stored().events.size(), 1U);
  EXPECT_EQ(stored().metrics.size(), 1U);
  EXPECT_EQ(told_, (std::vector<int64_t>{1}));
}

TEST_P(EventReaderTest, StrangeButWellFormedEvents) {
  write(R"({"seq":1,"event":"a\u0000b","attempt":-5,"time":"yesterday","step":"x"})"
        "\n");
  write(R"({"seq":2,"event":"metrics","step":1,"values":{"a\u0000":1,"a?":2,"b":"c","d":true,"e":7}})"
        "\n");
  write(R"({"seq":3,"event":"metrics","step":1,"values":{},"ranks":{"a?":["x",3],"f":4,"g":{}}})"
        "\n");
  read_all();
  const RunRows rows = stored();
  EXPECT_EQ(rows.metrics.size(), 3U);
  EXPECT_TRUE(rows.metrics.contains({"a?", 1, 1}));
  EXPECT_EQ(std::get<2>(rows.events.at(1)), "a?b");
  EXPECT_EQ(rows.attempt, 0);
}

TEST_P(EventReaderTest, LinesOfTheGreatestLengthAndLonger) {
  const auto padded = [&](size_t size) {
    const size_t bare = line({{"event", "x"}, {"p", ""}}).size();
    --seq_;
    return line({{"event", "x"}, {"p", std::string(size - bare, 'p')}});
  };
  write(padded(kMaxEventLine));
  EXPECT_EQ(text_.size(), kMaxEventLine);
  const std::string after = padded(kMaxEventLine + 1);
  write(after + loss(1, 1));
  read_all();
  expect_as_expected();
  EXPECT_EQ(stored().skipped, 1);
  // Longer than what is read at once, and not ended yet.
  write(std::string(3 * EventReader::kMostPerRead + 5, 'x'));
  read_all();
  EXPECT_EQ(stored().skipped, 1);
  EXPECT_LT(stored().offset, static_cast<int64_t>(text_.size()));
  write("\n" + loss(2, 1));
  read_all();
  expect_as_expected();
  EXPECT_EQ(stored().skipped, 2);
}

TEST_P(EventReaderTest, ALargeFileIsReadInPieces) {
  while (text_.size() < 3 * EventReader::kMostPerRead) {
    std::string lines;
    for (int i = 0; i < 100; ++i) lines += line({{"event", "x"}, {"p", std::string(1000, 'p')}});
    write(lines);
  }
  int64_t before = 0;
  int pieces = 0;
  while (read_once()) {
    const int64_t offset = stored().offset;
    EXPECT_LE(offset - before, static_cast<int64_t>(EventReader::kMostPerRead));
    before = offset;
    ++pieces;
  }
  EXPECT_GE(pieces, 3);
  expect_as_expected();
}

TEST_P(EventReaderTest, AFileThatIsNotTheSameIsAnError) {
  const std::string first = loss(1, 1), second = loss(2, 2);
  write(first + second);
  read_all();
  const RunRows before = stored();
  const auto expect_refused = [&](const std::string& named) {
    const Error error = error_of_reading();
    EXPECT_EQ(error.code(), ErrorCode::bad_data);
    const std::string message = error.what();
    EXPECT_NE(message.find(path_.string()), std::string::npos) << message;
    EXPECT_NE(message.find(named), std::string::npos) << message;
    EXPECT_NE(message.find(std::to_string(before.offset)), std::string::npos) << message;
    EXPECT_EQ(stored().metrics, before.metrics);
    EXPECT_EQ(stored().offset, before.offset);
  };
  std::ofstream(path_, std::ios::trunc) << first;
  expect_refused(std::to_string(first.size()));
  std::ofstream(path_, std::ios::trunc) << std::string(1000, 'x') << "\n" << loss(3, 3);
  expect_refused("replaced");
  std::filesystem::remove(path_);
  expect_refused("gone");
  std::ofstream(path_) << first << second << loss(4, 4);
  EXPECT_TRUE(read_once()) << "it is as it was";
}

TEST_P(EventReaderTest, NoSuchTraining) {
  id_ = "nobody";
  restart();
  EXPECT_EQ(error_of_reading().code(), ErrorCode::usage);
}

TEST_P(EventReaderTest, TwoReadersDoubleNothing) {
  for (int i = 1; i <= 300; ++i)
    write(joined({loss(i, i), line({{"event", "x"}, {"p", std::string(20000, 'p')}})}));
  std::vector<std::vector<int64_t>> told(3);
  std::vector<std::thread> threads;
  for (auto& mine : told) {
    threads.emplace_back([&] {
      EventReader reader(*database_, id_, path_);
      for (auto events = reader.read_more(); !events.empty(); events = reader.read_more()) {
        for (const AppliedEvent& event : events) mine.push_back(event.seq);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& mine : told) told_.insert(told_.end(), mine.begin(), mine.end());
  std::sort(told_.begin(), told_.end());
  expect_as_expected();
}

TEST_P(EventReaderTest, WhatACommitWithoutAnswerAppliedIsToldLater) {
  const auto rename = [&](const std::string& from, const std::string& to) {
    database_->write(
        [&](soci::session& session) { session << fmt::format("ALTER TABLE {} RENAME TO {}", from, to); });
  };
  write(joined({loss(1, 1), line({{"event", "warning"}})}));
  rename("training_events", "hidden");
  EXPECT_THROW(reader_->read_more(), Error);
  rename("hidden", "training_events");
  // Somebody made the same commit: for this reader it is as if its own had been made after all.
  EXPECT_EQ(EventReader(*database_, id_, path_).read_more().size(), 2U);
  EXPECT_TRUE(read_once());
  EXPECT_FALSE(read_once());
  expect_as_expected();
}

TEST_P(PostgresqlReaderTest, TheDatabaseGoesAwayAndComesBack) {
  write(loss(1, 1));
  read_all();
  write(loss(2, 2));
  PostgresServer::shared().stop();
  const Error away = error_of_reading(), still_away = error_of_reading();
  PostgresServer::shared().start();
  EXPECT_EQ(away.code(), ErrorCode::retry) << away.what();
  EXPECT_EQ(still_away.code(), ErrorCode::retry) << still_away.what();
  write(loss(3, 3));
  read_all();
  expect_as_expected();
}

}  // namespace
}  // namespace saemill
