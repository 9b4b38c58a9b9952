// A test that runs on SQLite and on PostgreSQL, each time with an empty database of its own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "common/base/temporary_folder.h"
#include "control/store/database.h"
#include "tests/postgres_fixture.h"

namespace saemill::testing_tools {

class StoreTest : public ::testing::TestWithParam<Dialect> {
 protected:
  void SetUp() override {
    if (GetParam() == Dialect::sqlite) {
      url_ = "sqlite:" + (folder_ / "store.db").string();
      return;
    }
    PostgresServer& server = PostgresServer::shared();
    if (!server.unavailable().empty()) GTEST_SKIP() << server.unavailable();
    url_ = server.create_database();
  }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
  std::string url_;
};

inline std::string name_of(const ::testing::TestParamInfo<Dialect>& info) {
  return info.param == Dialect::sqlite ? "sqlite" : "postgresql";
}

}  // namespace saemill::testing_tools

#define SAEMILL_STORE_TESTS(suite)                                                                        \
  INSTANTIATE_TEST_SUITE_P(Databases, suite,                                                              \
                           ::testing::Values(::saemill::Dialect::sqlite, ::saemill::Dialect::postgresql), \
                           ::saemill::testing_tools::name_of)
