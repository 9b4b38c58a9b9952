// Sessions of browsers and keys of requests: what the server remembers about its clients.
#include "control/store/sessions.h"

#include <gtest/gtest.h>
#include <soci/soci.h>

#include <array>
#include <atomic>
#include <thread>

#include "common/base/error.h"
#include "control/store/idempotency.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

constexpr int64_t kNow = 1800000000;
constexpr int64_t kDay = 86400;
using Claim = IdempotencyKeys::Claim;

class SessionsTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    sessions_ = std::make_unique<Sessions>(*database_);
    keys_ = std::make_unique<IdempotencyKeys>(*database_);
  }
  void TearDown() override {
    keys_.reset();
    sessions_.reset();
    database_.reset();
    StoreTest::TearDown();
  }
  std::vector<std::string> live(const std::string& server, int64_t now) {
    std::vector<std::string> digests;
    for (const SessionRow& row : sessions_->live(server, now)) digests.push_back(row.digest);
    return digests;
  }
  Claim claim(const std::string& key, const std::string& request = "r1", int64_t now = kNow) {
    return keys_->claim(key, request, "server-1", now).claim;
  }
  int64_t count(const std::string& table) {
    int64_t rows = -1;
    database_->read(
        [&](soci::session& session) { session << "SELECT COUNT(*) FROM " + table, soci::into(rows); });
    return rows;
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<IdempotencyKeys> keys_;
};
class IdempotencyTest : public SessionsTest {};
SAEMILL_STORE_TESTS(SessionsTest);
SAEMILL_STORE_TESTS(IdempotencyTest);

using Digests = std::vector<std::string>;

TEST_P(SessionsTest, LiveUntilTheyExpire) {
  sessions_->add({"d2", "server-1", kNow + 1, kNow + 100});
  sessions_->add({"d1", "server-1", kNow, kNow + 200});
  sessions_->add({"d3", "server-2", kNow, kNow + 50});
  const auto rows = sessions_->live("server-1", kNow + 99);
  EXPECT_EQ(count("sessions"), 2);  // the expired one of the other server is gone
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].digest, "d1");
  EXPECT_EQ(rows[0].server_id, "server-1");
  EXPECT_EQ(rows[0].created_at, kNow);
  EXPECT_EQ(rows[0].expires_at, kNow + 200);
  EXPECT_EQ(live("server-1", kNow + 100), (Digests{"d1"}));
  EXPECT_EQ(live("server-2", kNow), Digests{});
  EXPECT_EQ(count("sessions"), 1);
}

TEST_P(SessionsTest, AreRemovedAndProlonged) {
  sessions_->add({"d1", "server-1", kNow, kNow + 10});
  sessions_->add({"d2", "server-1", kNow, kNow + 10});
  sessions_->remove("d1");
  sessions_->remove("never");
  EXPECT_EQ(live("server-1", kNow), (Digests{"d2"}));
  sessions_->add({"d2", "server-1", kNow + 5, kNow + 99});
  EXPECT_EQ(live("server-1", kNow + 50), (Digests{"d2"}));
  EXPECT_EQ(sessions_->live("server-1", kNow + 50)[0].created_at, kNow);
}

TEST_P(IdempotencyTest, ARequestIsAnsweredOnce) {
  EXPECT_EQ(claim("key"), Claim::ours);
  EXPECT_EQ(claim("key"), Claim::under_way);
  EXPECT_EQ(claim("key", "r2"), Claim::different);
  EXPECT_EQ(claim("other"), Claim::ours);
  const std::string body = "{\"id\": \"it's \u00e9\"}" + std::string(100000, 'x');
  keys_->finish("key", {201, "application/json", body});
  const auto again = keys_->claim("key", "r1", "server-2", kNow + kDay - 1);
  EXPECT_EQ(again.claim, Claim::answered);
  EXPECT_EQ(again.answer.status, 201);
  EXPECT_EQ(again.answer.content_type, "application/json");
  EXPECT_EQ(again.answer.body, body);
  EXPECT_EQ(claim("key", "r2"), Claim::different);
  // Neither changes an answer that was given.
  keys_->abandon("key");
  keys_->finish("key", {500, "text/plain", "no"});
  EXPECT_EQ(keys_->claim("key", "r1", "server-1", kNow).answer.status, 201);
}

TEST_P(IdempotencyTest, AnAbandonedKeyIsFree) {
  EXPECT_EQ(claim("key"), Claim::ours);
  keys_->abandon("key");
  keys_->abandon("never");
  EXPECT_EQ(claim("key", "r2"), Claim::ours);
  keys_->finish("never", {200, "text/plain", ""});
  EXPECT_EQ(claim("never"), Claim::ours);
}

TEST_P(IdempotencyTest, KeysAreForgottenAfterADay) {
  EXPECT_EQ(claim("old"), Claim::ours);
  keys_->finish("old", {204, "", ""});
  EXPECT_EQ(claim("stuck", "r1", kNow + 1), Claim::ours);
  EXPECT_EQ(claim("old", "r2", kNow + kDay - 1), Claim::different);
  EXPECT_EQ(claim("old", "r2", kNow + kDay), Claim::ours);
  EXPECT_EQ(claim("stuck", "r1", kNow + kDay), Claim::under_way);
  EXPECT_EQ(claim("stuck", "r1", kNow + 1 + kDay), Claim::ours);
  EXPECT_EQ(count("idempotency_keys"), 2);
}

TEST_P(IdempotencyTest, AServerForgetsWhatItLeftUnderWay) {
  keys_->claim("done", "r", "server-1", kNow);
  keys_->finish("done", {200, "text/plain", "yes"});
  keys_->claim("left", "r", "server-1", kNow);
  keys_->claim("theirs", "r", "server-2", kNow);
  keys_->abandon_all("server-1");
  EXPECT_EQ(keys_->claim("done", "r", "server-1", kNow).answer.body, "yes");
  EXPECT_EQ(claim("left", "r"), Claim::ours);
  EXPECT_EQ(claim("theirs", "r"), Claim::under_way);
}

TEST_P(IdempotencyTest, RefusesWhatIsNoKey) {
  const std::array<std::string, 5> wrong = {"", std::string(256, 'k'), "caf\xc3\xa9", std::string("a\0b", 3),
                                            "a\nb"};
  for (const std::string& key : wrong) {
    try {
      claim(key);
      FAIL() << key;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage) << error.what();
    }
  }
  EXPECT_EQ(claim(std::string(255, '~')), Claim::ours);
}

// Several servers and threads claim a key at once; in every second round the winner gives it up again.
TEST_P(IdempotencyTest, OneOfManyGetsIt) {
  constexpr int kThreads = 8, kRounds = 20;
  Database second(url_);
  IdempotencyKeys others(second);
  for (int round = 0; round < kRounds; ++round) {
    const std::string key = fmt::format("key-{}", round);
    const bool give_up = round % 2 == 1;
    std::atomic<int> ready = 0, ours = 0, under_way = 0, holders = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        IdempotencyKeys& keys = i % 2 ? others : *keys_;
        for (++ready; ready < kThreads;) std::this_thread::yield();
        const Claim got = keys.claim(key, "r", "server", kNow).claim;
        if (got == Claim::under_way) ++under_way;
        if (got != Claim::ours) return;
        ++ours;
        EXPECT_EQ(++holders, 1);
        --holders;
        if (give_up) keys.abandon(key);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ours + under_way, kThreads);
    EXPECT_GE(ours, 1);
    EXPECT_TRUE(give_up || ours == 1) << ours;
  }
}

}  // namespace
}  // namespace saemill
