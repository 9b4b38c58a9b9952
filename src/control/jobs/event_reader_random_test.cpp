// Random files, read in random pieces by readers that are killed, over a database whose n-th write fails: the
// rows are those of one plain reading.
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "common/base/error.h"
#include "control/jobs/event_reader.h"
#include "control/store/trainings.h"
#include "tests/run_rows.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

using testing_tools::PostgresServer;
using testing_tools::RunRows;
using testing_tools::stored_rows;
using Json = nlohmann::json;

constexpr int64_t kNever = 1'000'000'000;

class Dice {
 public:
  explicit Dice(uint64_t seed) : bits_(seed) {}
  // 0 to most.
  int64_t up_to(int64_t most) { return static_cast<int64_t>(bits_() % static_cast<uint64_t>(most + 1)); }
  bool one_in(int64_t sides) { return up_to(sides - 1) == 0; }

 private:
  std::mt19937_64 bits_;
};

// Makes the text of one events.jsonl.
class RandomFile {
 public:
  explicit RandomFile(uint64_t seed) : dice_(seed) {}

  std::string make() {
    add({{"event", "started"}, {"step", 0}, {"total_steps", 1000 + dice_.up_to(99)}});
    for (int64_t lines = dice_.up_to(80); lines > 0; --lines) add_something();
    if (dice_.one_in(2)) text_ += text_.substr(0, static_cast<size_t>(dice_.up_to(40)));
    return text_;
  }

 private:
  void add(Json event) {
    event["seq"] = ++seq_;
    event["attempt"] = attempt_;
    event["time"] = utc_time(1.8e9 + static_cast<double>(seq_) + 0.2505);
    lines_.push_back(event.dump());
    text_ += lines_.back() + "\n";
  }
  void add_metrics() {
    Json values = Json::object();
    for (const char* name : {"loss", "l0", "fvu", "grad_norm"}) {
      if (!dice_.one_in(3)) values[name] = static_cast<double>(dice_.up_to(1 << 30)) / 7;
      if (dice_.one_in(9)) values[name] = nullptr;
    }
    Json event{{"event", "metrics"}, {"step", step_}, {"values", values}};
    if (dice_.one_in(4)) event["ranks"] = {{"step_ms", {1.5, dice_.up_to(9), nullptr}}, {"loss", {7}}};
    add(event);
    if (!dice_.one_in(5)) step_ += dice_.up_to(10);
  }
  void add_garbage() {
    const std::vector<std::string> kinds = {"",
                                            "{",
                                            "[]",
                                            "{\"seq\":1}",
                                            "{\"seq\":\"x\",\"event\":\"y\"}",
                                            std::string(70000, '7'),
                                            std::string("\xff\0\r", 3)};
    text_ += kinds[static_cast<size_t>(dice_.up_to(static_cast<int64_t>(kinds.size()) - 1))] + "\n";
  }
  void add_something() {
    const int64_t kind = dice_.up_to(19);
    if (kind < 11) return add_metrics();
    if (kind < 13) {
      Json event{{"event", "checkpoint"},
                 {"step", step_},
                 {"path", fmt::format("/r/step-{}", step_)},
                 {"bytes", step_}};
      if (dice_.one_in(2)) event["kept"] = {dice_.up_to(step_), dice_.up_to(step_), step_};
      add(event);
    } else if (kind < 14) {
      ++attempt_;
      step_ = dice_.up_to(step_);
      add({{"event", "rewind"}, {"step", step_}});
    } else if (kind < 16) {
      add({{"event", dice_.one_in(2) ? "warning" : "unheard_of"}, {"message", std::string(99, 'm')}});
    } else if (kind < 17) {
      text_ += lines_[static_cast<size_t>(dice_.up_to(static_cast<int64_t>(lines_.size()) - 1))] + "\n";
    } else if (kind < 18) {
      text_ += lines_.back().substr(0, lines_.back().size() / 2);  // torn: the next line is lost with it
    } else if (kind < 19) {
      seq_ += 1 + dice_.up_to(2);
    } else {
      add_garbage();
    }
  }

  Dice dice_;
  std::string text_;
  std::vector<std::string> lines_;
  int64_t seq_ = 0, attempt_ = 1, step_ = 0;
};

class EventReaderRandomTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    testing_tools::StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    database_->write([&](soci::session& session) { plant_faults(session); });
  }
  // Counts every row that is written, within its transaction; the one at which the count is up fails.
  void plant_faults(soci::session& session) const {
    session << "CREATE TABLE faults (writes_left BIGINT NOT NULL)";
    session << "INSERT INTO faults VALUES (" << kNever << ")";
    const bool sqlite = GetParam() == Dialect::sqlite;
    if (!sqlite) {
      session << "CREATE FUNCTION count_write() RETURNS trigger AS $$ BEGIN"
                 " UPDATE faults SET writes_left = writes_left - 1;"
                 " IF (SELECT writes_left FROM faults) = 0 THEN RAISE EXCEPTION 'planned'; END IF;"
                 " RETURN NEW; END $$ LANGUAGE plpgsql";
    }
    for (const char* table : {"trainings", "training_metrics", "checkpoints", "training_events"}) {
      for (const char* change : {"INSERT", "UPDATE"}) {
        session << fmt::format(
            "CREATE TRIGGER count_{0}_{1} BEFORE {1} ON {0} FOR EACH ROW {2}", table, change,
            sqlite ? "BEGIN UPDATE faults SET writes_left = writes_left - 1;"
                     " SELECT RAISE(ABORT, 'planned') FROM faults WHERE writes_left = 0; END"
                   : "EXECUTE FUNCTION count_write()");
      }
    }
  }
  void fail_at_write(int64_t count) {
    database_->write([&](soci::session& session) {
      session << "UPDATE faults SET writes_left = :count", soci::use(count);
    });
  }
  void read_some(EventReader& reader, bool all) {
    for (auto events = reader.read_more(); !events.empty(); events = reader.read_more()) {
      for (const AppliedEvent& event : events) {
        const bool own = event.data.value("code", "") == "missing_events" || event.seq == 0;
        if (!own) told_.push_back(event.seq);
      }
      if (!all) return;
    }
  }
  // Reads with the n-th write failing; nothing may be applied then.
  void read_with_fault(EventReader& reader, const std::string& id, Dice& dice) {
    const RunRows before = stored_rows(*database_, id);
    fail_at_write(1 + dice.up_to(15));
    try {
      read_some(reader, false);
    } catch (const Error&) {
      ++faults_;
      const RunRows after = stored_rows(*database_, id);
      EXPECT_EQ(after.offset, before.offset);
      EXPECT_EQ(after.metrics, before.metrics);
      EXPECT_EQ(after.events, before.events);
      EXPECT_EQ(after.checkpoints, before.checkpoints);
    }
    fail_at_write(kNever);
  }
  void read_without_database(EventReader& reader) {
    PostgresServer::shared().stop();
    try {
      read_some(reader, true);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::retry) << error.what();
    }
    PostgresServer::shared().start();
  }

  std::unique_ptr<Database> database_;
  std::vector<int64_t> told_;
  int faults_ = 0;
};
SAEMILL_STORE_TESTS(EventReaderRandomTest);

TEST_P(EventReaderRandomTest, RowsAreThoseOfOnePlainReading) {
  for (int round = 0; round < 200; ++round) {
    Dice dice(static_cast<uint64_t>(round) + 1000);
    const std::string text = RandomFile(static_cast<uint64_t>(round)).make();
    const std::string id = fmt::format("t{}", round);
    const auto path = folder_ / id;
    std::vector<TrainingRow> rows(1);
    rows[0].id = id;
    Trainings(*database_).insert(rows);
    told_.clear();
    auto reader = std::make_unique<EventReader>(*database_, id, path);
    for (size_t written = 0; written < text.size();) {
      const size_t piece = 1 + static_cast<size_t>(dice.up_to(dice.one_in(2) ? 400 : 3000));
      std::ofstream(path, std::ios::app | std::ios::binary) << text.substr(written, piece);
      written = std::min(text.size(), written + piece);
      if (dice.one_in(4)) read_with_fault(*reader, id, dice);
      if (dice.one_in(2)) read_some(*reader, dice.one_in(2));
      if (dice.one_in(5)) reader = std::make_unique<EventReader>(*database_, id, path);
    }
    if (round == 100 && GetParam() == Dialect::postgresql) read_without_database(*reader);
    read_some(*reader, true);
    const RunRows is = stored_rows(*database_, id), must = testing_tools::expected_rows(text);
    ASSERT_EQ(is.metrics, must.metrics) << "round " << round;
    ASSERT_EQ(is.checkpoints, must.checkpoints) << "round " << round;
    ASSERT_EQ(is.events, must.events) << "round " << round;
    ASSERT_EQ(
        std::tie(is.offset, is.seq, is.skipped, is.current_step, is.total_steps, is.attempt),
        std::tie(must.offset, must.seq, must.skipped, must.current_step, must.total_steps, must.attempt))
        << "round " << round;
    ASSERT_EQ(told_, must.told) << "round " << round;
  }
  EXPECT_GT(faults_, 50);
}

}  // namespace
}  // namespace saemill
