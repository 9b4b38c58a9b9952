// Who is let in: the table of heads.
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/temporary_folder.h"
#include "control/net/guard.h"
#include "control/net/rate_limit.h"

namespace saemill::net {
namespace {

using Access = api::Route::Access;

class GuardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = std::make_unique<Database>("sqlite:" + (folder_ / "store.db").string());
    store_ = std::make_unique<Sessions>(*database_);
    auth_ = std::make_unique<api::Auth>("the-token", "server", *store_);
    cookie_ = "saemill_session_server=" + auth_->open_session().secret;
  }
  // "" where it may go on, else "403 forbidden_host".
  std::string verdict(const Head& head, Access access = Access::signed_in) const {
    const auto problem = guard(rules_, head, access, *auth_);
    return problem ? fmt::format("{} {}", problem->status(), problem->code()) : "";
  }
  Head head(const std::string& method = "GET") const {
    return {.method = method,
            .target = "/api/v1/system/gpus",
            .host = "localhost:8750",
            .origin = "",
            .authorization = "",
            .cookie = "",
            .sec_fetch_site = ""};
  }
  Head by_token(const std::string& method = "GET") const {
    Head result = head(method);
    result.authorization = "Bearer the-token";
    return result;
  }
  Head by_browser(const std::string& method = "GET") const {
    Head result = head(method);
    result.cookie = cookie_, result.origin = "http://localhost:8750", result.sec_fetch_site = "same-origin";
    return result;
  }

  GuardRules rules_{{"localhost", "127.0.0.1", "[::1]"}};
  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Sessions> store_;
  std::unique_ptr<api::Auth> auth_;
  std::string cookie_;
};

TEST_F(GuardTest, HostsAreExact) {
  for (const char* host :
       {"localhost", "localhost:1", "LOCALHOST:8750", "127.0.0.1:65535", "[::1]:8750", "[::1]"})
    EXPECT_TRUE(host_allowed(rules_, host)) << host;
  for (const char* host :
       {"", "evil.example", "localhost.evil.example", "localhost.", "xlocalhost",
        "localhost:", "localhost:8750:1", "localhost:87a0", "localhost:123456", "127.0.0.1.nip.io", "127.1",
        "0.0.0.0", "::1", "user@localhost", "localhost/", "localhost@evil"})
    EXPECT_FALSE(host_allowed(rules_, host)) << host;
  Head rebound = by_browser();
  rebound.host = "evil.example:8750", rebound.origin = "http://evil.example:8750";
  EXPECT_EQ(verdict(rebound), "403 forbidden_host");
  EXPECT_EQ(verdict(rebound, Access::open), "403 forbidden_host");
}

TEST_F(GuardTest, TokenOrSession) {
  EXPECT_EQ(verdict(head()), "401 unauthorized");
  EXPECT_EQ(verdict(head(), Access::open), "");
  EXPECT_EQ(verdict(by_token()), "");
  EXPECT_EQ(verdict(by_token("POST")), "");
  EXPECT_EQ(verdict(by_browser()), "");
  EXPECT_EQ(verdict(by_browser("DELETE")), "");
  EXPECT_EQ(verdict(by_browser("POST"), Access::token), "401 unauthorized");
  EXPECT_EQ(verdict(by_token("POST"), Access::token), "");
  Head small = head();
  small.authorization = "bearer the-token";
  EXPECT_EQ(verdict(small), "");
  Head wrong = by_browser();
  wrong.authorization = "Bearer guess";  // a wrong token is wrong, whatever the cookie says
  EXPECT_EQ(verdict(wrong), "401 unauthorized");
  wrong = head();
  wrong.cookie = "saemill_session_server=guess";
  EXPECT_EQ(verdict(wrong), "401 unauthorized");
  wrong = head();
  wrong.authorization = "Basic the-token";
  EXPECT_EQ(verdict(wrong), "401 unauthorized");
}

TEST_F(GuardTest, OriginsAreExactWhereSomethingCanHappen) {
  EXPECT_TRUE(same_origin("https://localhost:8750", "localhost:8750"));
  for (const char* origin : {"null", "http://localhost", "http://localhost:87500", "http://evil.example",
                             "http://localhost:8750.evil.example", "http://localhost:8750/",
                             "ftp://localhost:8750", "http://evil@localhost:8750"}) {
    EXPECT_FALSE(same_origin(origin, "localhost:8750")) << origin;
    Head foreign = by_browser("POST");
    foreign.origin = origin;
    EXPECT_EQ(verdict(foreign), "403 forbidden_origin") << origin;
    foreign.method = "GET", foreign.websocket = true;
    EXPECT_EQ(verdict(foreign), "403 forbidden_origin") << origin;
  }
  Head silent = by_browser("POST");
  silent.origin = "";
  EXPECT_EQ(verdict(silent), "403 forbidden_origin");
  silent = by_browser();
  silent.origin = "", silent.websocket = true;
  EXPECT_EQ(verdict(silent), "403 forbidden_origin");
  Head program = by_token();
  program.websocket = true;
  EXPECT_EQ(verdict(program), "");
}

TEST_F(GuardTest, OtherSitesReadNothing) {
  Head image = by_browser();
  image.sec_fetch_site = "cross-site", image.origin = "";
  EXPECT_EQ(verdict(image), "403 forbidden_origin");
  image.sec_fetch_site = "same-site";
  EXPECT_EQ(verdict(image), "403 forbidden_origin");
  EXPECT_EQ(verdict(image, Access::open), "");  // a link to the page
  image.method = "POST", image.origin = "http://localhost:8750";
  EXPECT_EQ(verdict(image, Access::open), "403 forbidden_origin");
  image = by_browser();
  image.sec_fetch_site = "none";
  EXPECT_EQ(verdict(image), "");
}

TEST_F(GuardTest, MethodsAreListed) {
  for (const char* method : {"PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "FOO"})
    EXPECT_EQ(verdict(by_token(method)), "405 method_not_allowed") << method;
}

TEST(RateLimit, FillsWithTime) {
  RateLimit limit({.per_second = 2, .burst = 3});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.allow("a", 10));
  EXPECT_FALSE(limit.allow("a", 10));
  EXPECT_TRUE(limit.allow("b", 10));
  EXPECT_TRUE(limit.allow("a", 10.5));
  EXPECT_FALSE(limit.allow("a", 10.5));
}

}  // namespace
}  // namespace saemill::net
