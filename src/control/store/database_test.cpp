#include "control/store/database.h"

#include <gtest/gtest.h>
#include <soci/soci.h>

#include <atomic>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "control/store/url.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;
using testing_tools::PostgresServer;

class DatabaseTest : public testing_tools::StoreTest {
 protected:
  static int64_t number(const Database& database, const std::string& sql) {
    int64_t value = 0;
    database.read([&](soci::session& session) { session << sql, soci::into(value); });
    return value;
  }
  static void write(Database& database, const std::string& sql) {
    database.write([&](soci::session& session) { session << sql; });
  }
  template <typename Work>
  static Error error_of(const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::internal, "nothing was thrown");
  }
};
SAEMILL_STORE_TESTS(DatabaseTest);

class SqliteTest : public DatabaseTest {};
INSTANTIATE_TEST_SUITE_P(Files, SqliteTest, testing::Values(Dialect::sqlite), testing_tools::name_of);

class PostgresqlTest : public DatabaseTest {};
INSTANTIATE_TEST_SUITE_P(Servers, PostgresqlTest, testing::Values(Dialect::postgresql),
                         testing_tools::name_of);

constexpr const char* kVersion = "SELECT MAX(version) FROM schema_version";

TEST_P(DatabaseTest, MakesTheSchemaAndFindsIt) {
  for (int time = 0; time < 2; ++time) {
    const Database database(url_);
    EXPECT_EQ(database.dialect(), GetParam());
    EXPECT_EQ(number(database, kVersion), schema_version());
    EXPECT_EQ(number(database, "SELECT COUNT(*) FROM schema_version"), schema_version());
    EXPECT_EQ(number(database, "SELECT COUNT(*) FROM leases"), 0);
    EXPECT_EQ(number(database, "SELECT COUNT(*) FROM gpu_metrics_history"), 0);
  }
}

TEST_P(DatabaseTest, ManyServersStartAtOnce) {
  std::vector<std::thread> servers;
  std::atomic<int> started = 0;
  for (int i = 0; i < 8; ++i) {
    servers.emplace_back([&] {
      const Database database(url_);
      if (number(database, kVersion) == schema_version()) ++started;
    });
  }
  for (std::thread& server : servers) server.join();
  EXPECT_EQ(started, 8);
  EXPECT_EQ(number(Database(url_), "SELECT COUNT(*) FROM schema_version"), schema_version());
}

TEST_P(DatabaseTest, RefusesANewerSchema) {
  {
    Database database(url_);
    write(database, "INSERT INTO schema_version (version, applied_at) VALUES (1234, 0)");
  }
  const Error error = error_of([&] { const Database database(url_); });
  EXPECT_EQ(error.code(), ErrorCode::bad_config);
  const std::string message = error.what();
  EXPECT_NE(message.find("schema version 1234"), std::string::npos) << message;
  EXPECT_NE(message.find(fmt::format("up to {}:", schema_version())), std::string::npos) << message;
  EXPECT_NE(message.find(url_), std::string::npos) << message;
}

TEST_P(DatabaseTest, RollsBackWhatThrows) {
  Database database(url_);
  write(database, "CREATE TABLE t (n BIGINT)");
  struct Mine {};
  EXPECT_THROW(database.write([](soci::session& session) {
    session << "INSERT INTO t VALUES (1)";
    throw Mine{};
  }),
               Mine);
  EXPECT_EQ(number(database, "SELECT COUNT(*) FROM t"), 0);
  // A statement that is wrong is our bug, not the database's.
  const Error error = error_of([&] { write(database, "INSERT INTO nowhere VALUES (1)"); });
  EXPECT_EQ(error.code(), ErrorCode::internal);
  EXPECT_NE(std::string(error.what()).find("nowhere"), std::string::npos) << error.what();
  write(database, "INSERT INTO t VALUES (2)");
  EXPECT_EQ(number(database, "SELECT SUM(n) FROM t"), 2);
}

TEST_P(DatabaseTest, AReadWritesNothing) {
  Database database(url_, 1);
  write(database, "CREATE TABLE t (n BIGINT)");
  EXPECT_THROW(database.read([](soci::session& session) { session << "INSERT INTO t VALUES (1)"; }), Error);
  write(database, "INSERT INTO t VALUES (1)");
  EXPECT_EQ(number(database, "SELECT COUNT(*) FROM t"), 1);
}

TEST_P(DatabaseTest, CountsWithManyThreads) {
  Database database(url_, 3);
  write(database, "CREATE TABLE t (n BIGINT)");
  write(database, "INSERT INTO t VALUES (0)");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 25; ++j) write(database, "UPDATE t SET n = n + 1");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(number(database, "SELECT n FROM t"), 200);
}

TEST_P(DatabaseTest, ReadsWhatABigintHolds) {
  Database database(url_);
  write(database, "CREATE TABLE t (n BIGINT)");
  write(database, "INSERT INTO t VALUES (9007199254740993)");
  EXPECT_EQ(number(database, "SELECT n FROM t"), 9007199254740993);
}

// Two transactions that wait for one another: PostgreSQL ends one, which is run again.
TEST_P(PostgresqlTest, RunsTheVictimOfADeadlockAgain) {
  Database database(url_);
  write(database, "CREATE TABLE t (id BIGINT, n BIGINT)");
  write(database, "INSERT INTO t VALUES (1, 0), (2, 0)");
  std::atomic<int> first_done = 0, runs = 0;
  const auto both = [&](int first, int second) {
    database.write([&](soci::session& session) {
      ++runs;
      session << fmt::format("UPDATE t SET n = n + 1 WHERE id = {}", first);
      ++first_done;
      while (first_done < 2) std::this_thread::yield();
      session << fmt::format("UPDATE t SET n = n + 1 WHERE id = {}", second);
    });
  };
  std::thread other([&] { both(2, 1); });
  both(1, 2);
  other.join();
  EXPECT_GE(runs, 3) << "the victim may meet the other once more";
  EXPECT_EQ(number(database, "SELECT SUM(n) FROM t"), 4);
}

TEST_P(PostgresqlTest, OpensABrokenConnectionAgain) {
  Database database(url_);
  write(database, "CREATE TABLE t (n BIGINT)");
  PostgresServer& server = PostgresServer::shared();
  for (const int signal : {SIGINT, SIGQUIT}) {
    server.stop(signal);
    const double begin = monotonic_seconds();
    EXPECT_EQ(error_of([&] { write(database, "INSERT INTO t VALUES (1)"); }).code(), ErrorCode::retry);
    EXPECT_LT(monotonic_seconds() - begin, 5);
    server.start();
    write(database, "INSERT INTO t VALUES (1)");
  }
  // In the middle of a transaction: it is run again.
  int runs = 0;
  database.write([&](soci::session& session) {
    if (++runs == 1) {
      server.stop();
      server.start();
    }
    session << "INSERT INTO t VALUES (1)";
  });
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(number(database, "SELECT COUNT(*) FROM t"), 3);
}

TEST_P(DatabaseTest, WhatIsNotThereIsWorthARetry) {
  const bool sqlite = GetParam() == Dialect::sqlite;
  const std::string url = sqlite ? "sqlite:" + (folder_ / "absent" / "store.db").string()
                                 : PostgresServer::shared().url("absent");
  const Error error = error_of([&] { const Database database(url); });
  EXPECT_EQ(error.code(), ErrorCode::retry) << error.what();
  EXPECT_NE(std::string(error.what()).find(url), std::string::npos) << error.what();
}

TEST_P(SqliteTest, APathMayHoldSpacesAndSigns) {
  const auto folder = folder_ / "a  folder = 'x' & y;";
  fs::create_directory(folder);
  { const Database database("sqlite:" + (folder / "my store.db").string()); }
  EXPECT_TRUE(fs::exists(folder / "my store.db"));
}

TEST(DatabaseUrl, RefusesOtherKinds) {
  for (const char* url :
       {"", "mysql://x", "sqlite:", "sqlite::memory:", "sqlite:a\"b", "postgres", "/path"}) {
    EXPECT_THROW(parse_database_url(url), Error) << url;
  }
}

TEST(DatabaseUrl, KeepsThePasswordToItself) {
  const auto url = parse_database_url("postgresql://me:s3cr3t@host:5432/db");
  EXPECT_EQ(url.name, "postgresql://me@host:5432/db");
  EXPECT_NE(url.connect.find("me:s3cr3t@host:5432/db?connect_timeout=10&"), std::string::npos) << url.connect;
  EXPECT_EQ(without_secret("bad \"s3cr3t\" s3cr3t", url), "bad \"***\" ***");
  EXPECT_EQ(parse_database_url("postgresql://host:5432/db").name, "postgresql://host:5432/db");
  const auto query = parse_database_url("postgresql://host/db?password=abc&connect_timeout=3");
  EXPECT_EQ(query.name, "postgresql://host/db?password=&connect_timeout=3");
  EXPECT_EQ(query.secret, "abc");
  EXPECT_EQ(query.connect.find("connect_timeout=10"), std::string::npos) << query.connect;
}

}  // namespace
}  // namespace saemill
