// What a target may be, times in a query, the cookie.
#include <gtest/gtest.h>

#include "control/api/problem.h"
#include "control/api/request.h"
#include "control/api/session_cookie.h"
#include "control/api/time_parameter.h"

namespace saemill::api {
namespace {

TEST(Target, Decoded) {
  const auto target = parse_target("/api/v1/system/gpus/GPU%2D1/history?from=1&fields=a%2Cb&x=a+b&empty");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/api/v1/system/gpus/GPU-1/history");
  EXPECT_EQ(target->segments[4], "GPU-1");
  EXPECT_EQ(target->query, (Fields{{"from", "1"}, {"fields", "a,b"}, {"x", "a b"}, {"empty", ""}}));
  EXPECT_EQ(parse_target("/")->segments.size(), 0u);
  EXPECT_EQ(parse_target("/a/")->path, "/a/");
  EXPECT_EQ(parse_target("/%c3%a4")->path, "/\u00e4");
}

TEST(Target, Refused) {
  for (const char* text :
       {"", "*", "a", "http://host/a", "/..", "/a/../b", "/a/%2e%2e/b", "/a/./b", "/a//b", "//a", "/a%2fb",
        "/a%00", "/a%ff", "/a?x=%c3", "/%", "/%z1", "/a?x=%", "/a?x=%00", "/a#b"})
    EXPECT_FALSE(parse_target(text)) << text;
}

Request request_of(const std::string& query) {
  Request request;
  request.query = parse_target("/?" + query)->query;
  return request;
}

TEST(Parameters, AreReadOrRefusedByName) {
  EXPECT_EQ(request_of("n=7").integer("n", 1, 0, 10), 7);
  EXPECT_EQ(request_of("").integer("n", 1, 0, 10), 1);
  EXPECT_EQ(request_of("v=b").one_of("v", "a", {"a", "b"}), "b");
  for (const char* query : {"n=11", "n=-1", "n=1.5", "n=", "n=1x", "n=99999999999999999999", "n=1&n=2"}) {
    try {
      request_of(query).integer("n", 1, 0, 10);
      ADD_FAILURE() << query;
    } catch (const Problem& problem) {
      EXPECT_EQ(problem.status(), 400) << query;
      EXPECT_EQ(problem.errors()[0].pointer, "?n") << query;
    }
  }
  EXPECT_THROW(request_of("v=c").one_of("v", "a", {"a", "b"}), Problem);
}

TEST(Parameters, Times) {
  EXPECT_EQ(time_parameter(request_of("t=1700000000"), "t", 0), 1700000000);
  EXPECT_EQ(time_parameter(request_of("t=2023-11-14T22:13:20Z"), "t", 0), 1700000000);
  EXPECT_EQ(time_parameter(request_of("t=2023-11-14T22:13:20.999Z"), "t", 0), 1700000000);
  EXPECT_EQ(time_parameter(request_of(""), "t", 5), 5);
  for (const char* query : {"t=", "t=yesterday", "t=nan", "t=-1", "t=1e300", "t=2023-11-14",
                            "t=2023-11-14T22:13:20", "t=2023-11-14T22:13:20.Z"})
    EXPECT_THROW(time_parameter(request_of(query), "t", 0), Problem) << query;
}

TEST(Body, MembersAreKnownAndTyped) {
  const Json body{{"ids", {0, "gpu:1"}}, {"n", 3}, {"t", "x"}, {"none", nullptr}};
  const Members members(body, {"ids", "n", "t", "none"});
  EXPECT_EQ(members.ids("ids"), (std::vector<std::string>{"0", "gpu:1"}));
  EXPECT_EQ(members.integer("n", 0, 5), 3);
  EXPECT_FALSE(members.has("none"));
  EXPECT_THROW(Members(body, {"ids"}), Problem);
  EXPECT_THROW(Members(Json::array(), {"ids"}), Problem);
  EXPECT_THROW(members.text("n"), Problem);
  EXPECT_THROW(members.integer("t", 0, 5), Problem);
  EXPECT_THROW(members.integer("n", 4, 5), Problem);
  EXPECT_THROW(members.ids("n"), Problem);
  EXPECT_THROW(members.at("none"), Problem);
  EXPECT_THROW(Members({{"n", 18446744073709551615ULL}}, {"n"}).integer("n", 0, INT64_MAX), Problem);
}

TEST(Body, WhatCostsMoreThanItsSizeIsRefused) {
  EXPECT_EQ(parse_json(R"({"a":[1]})").dump(), R"({"a":[1]})");
  std::string members = "{";
  for (int i = 0; i < 1001; ++i) members += fmt::format("{}\"{}\":1", i == 0 ? "" : ",", i);
  for (const std::string& text : {std::string(10000, '['), members + "}", std::string("{"), std::string()}) {
    try {
      parse_json(text);
      ADD_FAILURE() << text.substr(0, 20);
    } catch (const Problem& problem) {
      EXPECT_EQ(problem.code(), "invalid_json");
    }
  }
}

TEST(Cookie, IsFoundAmongOthers) {
  const std::string name = session_cookie_name("4fQx0aBcDeF");
  EXPECT_EQ(name, "saemill_session_4fQx0aBc");
  EXPECT_EQ(cookie_in(name + "=abc", name), "abc");
  EXPECT_EQ(cookie_in("a=1; " + name + "=abc; b=2", name), "abc");
  EXPECT_EQ(cookie_in("saemill_session_another0=xyz; " + name + "=abc", name), "abc");  // of another port
  EXPECT_EQ(cookie_in("x" + name + "=abc", name), "");
  EXPECT_EQ(cookie_in(name + "x=abc", name), "");
  EXPECT_EQ(cookie_in("", name), "");
  EXPECT_EQ(set_cookie(name, "s", 5), name + "=s; Path=/; Max-Age=5; HttpOnly; SameSite=Strict");
}

}  // namespace
}  // namespace saemill::api
