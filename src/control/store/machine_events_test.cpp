#include "control/store/machine_events.h"

#include <gtest/gtest.h>
#include <soci/soci.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <thread>

#include "common/base/error.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

constexpr double kNow = 1800000000;
constexpr double kDay = 86400;

MachineEvent event_at(double time, Severity severity = Severity::warning, const std::string& message = "m") {
  return {.time = time,
          .severity = severity,
          .code = "hot",
          .host = "here",
          .device_uuid = "GPU-1",
          .training_id = "",
          .message = message};
}

class MachineEventsTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    events_ = std::make_unique<MachineEvents>(*database_);
  }
  void TearDown() override {
    events_.reset();
    database_.reset();
    StoreTest::TearDown();
  }
  int64_t add(const MachineEvent& event) {
    std::vector<MachineEvent> events{event};
    events_->add(events);
    return events[0].id;
  }
  std::string stored_as(const std::string& message) {
    add(event_at(kNow, Severity::info, message));
    return events_->query({}).events.at(0).message;
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<MachineEvents> events_;
};
SAEMILL_STORE_TESTS(MachineEventsTest);

TEST(Severities, HaveNames) {
  for (const Severity severity : {Severity::info, Severity::warning, Severity::error})
    EXPECT_EQ(severity_of(to_string(severity)), severity);
  EXPECT_EQ(severity_of("warning"), Severity::warning);
  EXPECT_EQ(severity_of("fatal"), std::nullopt);
  EXPECT_EQ(severity_of(""), std::nullopt);
}

TEST_P(MachineEventsTest, KeepsEveryField) {
  MachineEvent event{.time = kNow + 0.123456,
                     .severity = Severity::error,
                     .code = "xid",
                     .over = true,
                     .host = "host-1",
                     .device_uuid = "GPU-7",
                     .training_id = "training-3",
                     .message = "it's 86 \u00b0C; \"hot\" :name"};
  std::vector<MachineEvent> events{event, event_at(kNow)};
  events_->add(events);
  EXPECT_GT(events[0].id, 0);
  EXPECT_GT(events[1].id, events[0].id);
  const EventPage page = events_->query({});
  EXPECT_EQ(page.total, 2);
  ASSERT_EQ(page.events.size(), 2u);
  const MachineEvent& found = page.events[1];
  EXPECT_EQ(found.id, events[0].id);
  EXPECT_EQ(found.time, event.time);
  EXPECT_EQ(found.severity, event.severity);
  EXPECT_EQ(found.code, event.code);
  EXPECT_TRUE(found.over);
  EXPECT_EQ(found.host, event.host);
  EXPECT_EQ(found.device_uuid, event.device_uuid);
  EXPECT_EQ(found.training_id, event.training_id);
  EXPECT_EQ(found.message, event.message);
  EXPECT_FALSE(page.events[0].over);
}

TEST_P(MachineEventsTest, PagesNewestFirst) {
  std::vector<int64_t> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(add(event_at(kNow - i, static_cast<Severity>(i % 3))));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  const auto ids_of = [&](const EventQuery& query) {
    std::vector<int64_t> found;
    for (const MachineEvent& event : events_->query(query).events) found.push_back(event.id);
    return found;
  };
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(ids_of({.at_least = {}, .limit = 4}), (Ids{ids[9], ids[8], ids[7], ids[6]}));
  EXPECT_EQ(ids_of({.at_least = {}, .page = 3, .limit = 4}), (Ids{ids[1], ids[0]}));
  EXPECT_EQ(ids_of({.at_least = {}, .page = 4, .limit = 4}), Ids{});
  EXPECT_EQ(ids_of({.at_least = {}, .page = std::numeric_limits<int64_t>::max(), .limit = 500}), Ids{});
  EXPECT_EQ(ids_of({.since = ids[7], .at_least = {}}), (Ids{ids[9], ids[8]}));
  EXPECT_EQ(ids_of({.since = ids[1], .at_least = Severity::error}), (Ids{ids[8], ids[5], ids[2]}));
  EXPECT_EQ(events_->query({.at_least = Severity::warning, .limit = 1}).total, 6);
  EXPECT_EQ(events_->query({.since = ids[7], .at_least = {}, .page = 9}).total, 2);
}

TEST_P(MachineEventsTest, OfADeviceOrATraining) {
  const auto about = [](const char* device, const char* training) {
    MachineEvent event = event_at(kNow);
    event.device_uuid = device, event.training_id = training;
    return event;
  };
  std::vector<MachineEvent> events{about("GPU-1", ""), about("GPU-2", "7"), about("", "7"),
                                   about("GPU-1", "8"), about("", "")};
  events_->add(events);
  const auto found = [&](const EventQuery& query) {
    const EventPage page = events_->query(query);
    EXPECT_EQ(page.total, static_cast<int64_t>(page.events.size()));
    std::string all;
    for (const MachineEvent& event : page.events) all += std::to_string(event.id - events[0].id);
    return all;
  };
  EXPECT_EQ(found({.device_uuid = "GPU-1"}), "30");
  EXPECT_EQ(found({.training_id = "7"}), "21");
  EXPECT_EQ(found({.device_uuid = "GPU-2", .training_id = "7"}), "1");
  EXPECT_EQ(found({.since = events[0].id, .device_uuid = "GPU-1"}), "3");
  EXPECT_EQ(found({.device_uuid = "GPU-"}), "");
  EXPECT_EQ(found({.device_uuid = "' OR ''='"}), "");
  EXPECT_EQ(found({}), "43210");
}

TEST_P(MachineEventsTest, RefusesImpossiblePages) {
  const auto code_of = [&](const EventQuery& query) {
    try {
      events_->query(query);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::internal;
  };
  EXPECT_EQ(code_of({.at_least = {}, .page = 0}), ErrorCode::usage);
  EXPECT_EQ(code_of({.at_least = {}, .limit = 0}), ErrorCode::usage);
  EXPECT_EQ(code_of({.at_least = {}, .limit = 501}), ErrorCode::usage);
  std::vector<MachineEvent> none;
  events_->add(none);
  EXPECT_EQ(events_->query({.at_least = {}, .limit = 500}).total, 0);
}

TEST_P(MachineEventsTest, ForgetsAfterNinetyDays) {
  add(event_at(kNow - 100 * kDay));
  add(event_at(kNow - 89 * kDay));
  EXPECT_EQ(events_->query({}).total, 2);
  add(event_at(kNow));
  const EventPage page = events_->query({});
  EXPECT_EQ(page.total, 2);
  EXPECT_EQ(page.events.back().time, kNow - 89 * kDay);
  // A clock that was behind forgets nothing.
  add(event_at(kNow - 50 * kDay));
  EXPECT_EQ(events_->query({}).total, 3);
}

TEST_P(MachineEventsTest, KeepsTheNewestHundredThousand) {
  database_->write([](soci::session& session) {
    session << "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)"
               " INSERT INTO system_events (time, severity, code, is_over, host, device_uuid, training_id, "
               "message)"
               " SELECT 1800000000, 0, 'c', 0, 'h', '', '', 'm' FROM numbers";
  });
  const int64_t newest = events_->query({.at_least = {}, .limit = 1}).events.at(0).id;
  std::vector<MachineEvent> events(3, event_at(kNow, Severity::error));
  events_->add(events);
  EXPECT_GT(events[0].id, newest);
  EXPECT_EQ(events_->query({}).total, MachineEvents::kMostKept);
  EXPECT_EQ(events_->query({.at_least = Severity::error}).total, 3);
  database_->read([&](soci::session& session) {
    int64_t oldest = 0;
    session << "SELECT MIN(id) FROM system_events", soci::into(oldest);
    EXPECT_EQ(oldest, newest - MachineEvents::kMostKept + 4);
  });
}

TEST_P(MachineEventsTest, StoresTextWhateverTheBytes) {
  EXPECT_EQ(stored_as("\u00e9 \u20ac \U0001f525"), "\u00e9 \u20ac \U0001f525");
  EXPECT_EQ(stored_as(std::string("a\0b", 3)), "a?b");
  EXPECT_EQ(stored_as("caf\xe9"), "caf?");
  EXPECT_EQ(stored_as("\xe2\x82"), "??");                // cut off
  EXPECT_EQ(stored_as("\xc0\xaf|\x80|\xff"), "??|?|?");  // overlong; a tail; no byte of UTF-8
  EXPECT_EQ(stored_as("\xed\xa0\x80"), "???");           // half of a surrogate pair
  EXPECT_EQ(stored_as("\xf4\x90\x80\x80"), "????");      // beyond Unicode
}

// A batch that fails leaves nothing, and no ids.
TEST_P(MachineEventsTest, AddsAllOrNothing) {
  database_->write([](soci::session& session) { session << "ALTER TABLE system_events RENAME TO away"; });
  std::vector<MachineEvent> events(3, event_at(kNow));
  EXPECT_THROW(events_->add(events), Error);
  EXPECT_EQ(events[0].id, 0);
  database_->write([](soci::session& session) { session << "ALTER TABLE away RENAME TO system_events"; });
  EXPECT_EQ(events_->query({}).total, 0);
  events_->add(events);
  EXPECT_GT(events[0].id, 0);
  EXPECT_EQ(events_->query({}).total, 3);
}

// Several servers add while somebody reads on from the last id that was seen.
TEST_P(MachineEventsTest, WhoReadsOnMissesNone) {
  constexpr int kServers = 4, kAdds = 30;
  std::atomic<int> working = kServers;
  std::vector<std::thread> threads;
  for (int server = 0; server < kServers; ++server) {
    threads.emplace_back([&] {
      Database database(url_);
      MachineEvents own(database);
      for (int i = 0; i < kAdds; ++i) {
        std::vector<MachineEvent> events(static_cast<size_t>(1 + i % 3), event_at(kNow));
        own.add(events);
      }
      --working;
    });
  }
  int64_t seen = 0, count = 0;
  for (bool last = false; !last;) {
    last = working == 0;
    const EventPage page = events_->query({.since = seen, .at_least = {}, .limit = 500});
    count += page.total;
    if (!page.events.empty()) seen = page.events.front().id;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, kServers * kAdds * 2);
  EXPECT_EQ(events_->query({}).total, count);
}

}  // namespace
}  // namespace saemill
