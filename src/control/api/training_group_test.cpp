#include "control/api/training_group.h"

#include <gtest/gtest.h>

namespace saemill::api {
namespace {

std::vector<std::string> names(const std::vector<GroupMember>& members) {
  std::vector<std::string> all;
  for (const GroupMember& member : members) all.push_back(member.config.at("name").get<std::string>());
  return all;
}
using Words = std::vector<std::string>;

FieldError refusal(const Json& config) {
  try {
    expand_group(config);
  } catch (const Problem& problem) {
    EXPECT_EQ(problem.status(), 422);
    return problem.errors().at(0);
  }
  return {"accepted", "", "", nullptr, nullptr};
}

TEST(TrainingGroup, WithoutListsItIsTheConfigurationItself) {
  for (const char* text : {"7", "null", "[1, 2]", R"({"sae": {"k": 1}})"}) {
    const Json config = Json::parse(text);
    const auto members = expand_group(config);
    ASSERT_EQ(members.size(), 1U);
    EXPECT_EQ(members[0].config, config);
    EXPECT_TRUE(members[0].chosen.empty());
  }
}

TEST(TrainingGroup, EveryCombinationInTheOrderOfTheConfiguration) {
  const auto members = expand_group(
      {{"name", "n"}, {"train", {{"seed", {1, 2}}, {"lr", {0.5}}}}, {"sae.k", {4, 8}}, {"other", 1}});
  EXPECT_EQ(names(members), (Words{"n seed=1 k=4", "n seed=1 k=8", "n seed=2 k=4", "n seed=2 k=8"}));
  EXPECT_EQ(
      members[2].config,
      (Json{{"name", "n seed=2 k=4"}, {"train", {{"seed", 2}, {"lr", 0.5}}}, {"sae.k", 4}, {"other", 1}}));
}

TEST(TrainingGroup, NamesTellMembersApart) {
  EXPECT_EQ(names(expand_group({{"a", {{"x", {1, 2}}}}, {"b", {{"x", {true, false}}}}}))[1],
            "sae a.x=1 b.x=false");
  EXPECT_EQ(names(expand_group({{"name", {"one", "two"}}, {"sae.k", {1, 2}}})),
            (Words{"one k=1", "one k=2", "two k=1", "two k=2"}));
  const std::string folder(100, 'f');
  EXPECT_EQ(names(expand_group({{"path", {folder + "/a", folder + "/b"}}}))[0],
            "sae path=..." + std::string(38, 'f') + "/a");
  // Not within a character.
  std::string text;
  for (int i = 0; i < 30; ++i) text += "ä";
  const auto name = names(expand_group({{"path", {text + "x", "b"}}}))[0];
  EXPECT_NO_THROW(Json(name).dump());
}

TEST(TrainingGroup, ListsAreNeitherEmptyNorTooMany) {
  EXPECT_EQ(refusal({{"train", {{"lr", Json::array()}}}}).pointer, "/config/train/lr");
  Json many = Json::array();
  for (int i = 0; i < 16; ++i) many.push_back(i);
  EXPECT_EQ(refusal({{"a", many}, {"b", many}}).pointer, "accepted");
  EXPECT_EQ(refusal({{"a", many}, {"b", many}, {"c", {1, 2}}}).pointer, "/config/c");
  for (int i = 0; i < 900; ++i) many.push_back(i);
  EXPECT_EQ(refusal({{"a", many}, {"b", many}, {"c", many}, {"d", many}}).pointer, "/config/a");
}

TEST(TrainingGroup, WhatIsWrongIsToldByKeyAndIndex) {
  const auto members = expand_group({{"train", {{"lr", {1, 2}}, {"lr2", {3, 4}}}}});
  const Problem problem(422, "invalid_config", "wrong",
                        {{"/config/train/lr", "invalid_value", "", 1, nullptr},
                         {"/config/train/lr2/deeper", "unknown_member", "", 1, nullptr},
                         {"/config/train/steps", "missing", "", 1, nullptr}});
  const Problem told = problem_of_member(problem, members[2]);
  EXPECT_EQ(told.status(), 422);
  EXPECT_STREQ(told.what(), "wrong");
  EXPECT_EQ(told.errors()[0].pointer, "/config/train/lr/1");
  EXPECT_EQ(told.errors()[1].pointer, "/config/train/lr2/0/deeper");
  EXPECT_EQ(told.errors()[2].pointer, "/config/train/steps");
  const Problem one(422, "invalid_config", "wrong", {{"/config/sae/k", "invalid_value", "", 1, nullptr}});
  EXPECT_EQ(problem_of_member(one, expand_group({{"sae.k", {1, 2}}})[1]).errors()[0].pointer,
            "/config/sae/k/1");
}

}  // namespace
}  // namespace saemill::api
