#include "control/api/training_merge.h"

#include <gtest/gtest.h>

#include "common/protocol/run_config.h"

namespace saemill::api {
namespace {

constexpr int64_t kWidth = 64, kRows = 1000;

Json resolved(const Json& config) {
  return run_config_to_json(
      resolve_run_config(run_config_from_json(nlohmann::json(config)), kWidth, kRows, 2));
}

Json base() {
  return {{"activations", {{"path", "/a"}}},
          {"sae", {{"d_sae", 16384}, {"k", 8}}},
          {"train", {{"steps", 100}, {"lr_schedule", "linear"}}}};
}

// What is run in the end.
RunConfig again(const Json& config, const Json& overrides) {
  const MergedConfig merged = merge_config(resolved(config), overrides);
  return resolve_run_config(run_config_from_json(nlohmann::json(merged.config)), kWidth, kRows, 2);
}

TEST(TrainingMerge, NothingChangedIsTheSame) {
  const MergedConfig merged = merge_config(resolved(base()), Json::object());
  EXPECT_EQ(run_config_to_json(run_config_from_json(nlohmann::json(merged.config))), resolved(base()));
}

TEST(TrainingMerge, KeysMayBeFullOrATree) {
  const RunConfig config = again(base(), {{"sae.k", 4}, {"train", {{"seed", 7}}}, {"name", "x"}});
  EXPECT_EQ(config.sae.k, 4);
  EXPECT_EQ(config.train.seed, 7);
  EXPECT_EQ(config.name, "x");
  EXPECT_EQ(config.train.steps, 100);
}

TEST(TrainingMerge, DerivedValuesFollowWhatTheyCameFrom) {
  EXPECT_EQ(again(base(), {{"sae.d_sae", 4 * 16384}}).train.lr, 1e-4);
  EXPECT_EQ(again(base(), {{"train.steps", 50}}).train.lr_decay_steps, 50);
  EXPECT_EQ(again(base(), {{"train.lr_warmup_steps", 20}}).train.lr_decay_steps, 80);
  EXPECT_EQ(again(base(), {{"train.batch_size_per_device", 100}}).train.batch_size, 200);
  EXPECT_EQ(again(base(), {{"train.epochs", 4}, {"train.batch_size", 10}}).train.steps, 400);
  EXPECT_EQ(again(base(), {{"train.epochs", 4}, {"train.batch_size", 10}, {"train.steps", 7}}).train.steps,
            7);
  EXPECT_FALSE(
      merge_config(resolved(base()), {{"activations.path", "/b"}}).config.contains("activations.d_in"));
}

TEST(TrainingMerge, WhatWasGivenStays) {
  Json config = base();
  config["train"]["lr"] = 0.5;
  config["train"]["lr_decay_steps"] = 10;
  EXPECT_EQ(again(config, {{"sae.d_sae", 128}}).train.lr, 0.5);
  EXPECT_EQ(again(config, {{"train.steps", 50}}).train.lr_decay_steps, 10);
}

TEST(TrainingMerge, AnotherArchitectureLeavesItsOwnKeysBehind) {
  const RunConfig config = again(base(), {{"sae.architecture", "relu"}, {"sae.l1_coefficient", 3}});
  EXPECT_EQ(config.sae.architecture, "relu");
  EXPECT_EQ(config.sae.l1_coefficient, 3);
}

TEST(TrainingMerge, ProblemsPointIntoTheOverrides) {
  const MergedConfig merged = merge_config(resolved(base()), {{"sae", {{"k", 1}}}, {"train.lr", 2}});
  const Problem told = problem_of_merge({422,
                                         "invalid_config",
                                         "wrong",
                                         {{"/config/sae/k", "", "", nullptr, nullptr},
                                          {"/config/train/lr", "", "", nullptr, nullptr},
                                          {"/config/activations/path", "", "", nullptr, nullptr},
                                          {"/config", "", "", nullptr, nullptr},
                                          {"/gpu_ids/0", "", "", nullptr, nullptr}}},
                                        merged);
  const char* pointers[] = {"/overrides/sae/k", "/overrides/train.lr", "/overrides", "/overrides",
                            "/gpu_ids/0"};
  for (size_t i = 0; i < std::size(pointers); ++i) EXPECT_EQ(told.errors()[i].pointer, pointers[i]);
}

}  // namespace
}  // namespace saemill::api
