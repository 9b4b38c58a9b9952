#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/protocol/config_schema.h"
#include "common/protocol/config_table.h"
#include "common/protocol/events.h"
#include "common/protocol/metric_catalog.h"

namespace saemill {
namespace {

using Json = nlohmann::json;

Json minimal() {
  return {{"activations", {{"path", "x"}}}, {"train", {{"steps", 10}}}};
}

Json with(const std::string& key, const Json& value) {
  Json tree = minimal();
  std::string pointer = "/" + key;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  tree[Json::json_pointer(pointer)] = value;
  return tree;
}

void expect_refused(const Json& tree, const std::string& text) {
  try {
    resolve_run_config(run_config_from_json(tree), 8, 1000, 1);
    ADD_FAILURE() << "accepted: " << tree.dump();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_config);
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(RunConfig, EveryKeyIsReadWrittenAndChecked) {
  for (const ConfigKey& key : config_table()) {
    RunConfig defaults;
    const ConfigValue value = key.at(defaults);
    if (std::holds_alternative<std::string*>(value)) {
      const std::string text = key.choices.empty() ? "some text" : key.choices.back();
      if (std::string(key.name) != "sae.architecture") {
        RunConfig config = run_config_from_json(with(key.name, text));
        EXPECT_EQ(*std::get<std::string*>(key.at(config)), text);
      }
      expect_refused(with(key.name, 5), key.name);
      if (!key.choices.empty()) expect_refused(with(key.name, "nonsense"), key.name);
    } else if (std::holds_alternative<bool*>(value)) {
      expect_refused(with(key.name, "yes"), "true, false");
    } else {
      expect_refused(with(key.name, key.minimum - 1), key.name);
      expect_refused(with(key.name, "many"), key.name);
      if (std::holds_alternative<int64_t*>(value)) expect_refused(with(key.name, 1.5), "whole number");
    }
  }
}

TEST(RunConfig, RoundTripKeepsEveryValue) {
  Json tree = minimal();
  tree["train"]["lr"] = 3e-4;
  tree["train"]["dtype"] = "f32";
  const RunConfig config = resolve_run_config(run_config_from_json(tree), 8, 1000, 3);
  const auto written = run_config_to_json(config);
  EXPECT_EQ(written, run_config_to_json(run_config_from_json(written)));
  EXPECT_TRUE(keys_that_change_results(config, run_config_from_json(written)).empty());
  EXPECT_EQ(config.sae.d_sae, 128);
}

TEST(RunConfig, Refusals) {
  expect_refused(with("train.lrr", 1), "did you mean train.lr?");
  expect_refused(with("sae.k", 1000), "sae.d_sae (128)");
  expect_refused(with("sae.l1_coefficient", 2.0), "only relu uses it");
  expect_refused({{"train", {{"steps", 1}}}}, "activations.path");
  expect_refused({{"activations", {{"path", "x"}}}}, "train.tokens");
  Json both = with("train.batch_size", 4);
  both["train"]["batch_size_per_device"] = 4;
  expect_refused(both, "both given");
  expect_refused(with("activations.d_in", 9), "the data has 8");
}

TEST(RunConfig, ResolvesWhatDependsOnDataAndDevices) {
  Json tree = with("train.batch_size_per_device", 100);
  tree["train"]["epochs"] = 2;
  const RunConfig config = resolve_run_config(run_config_from_json(tree), 8, 1000, 2);
  EXPECT_EQ(config.train.batch_size, 200);
  EXPECT_EQ(config.train.steps, 10);  // two epochs of 1000 rows, and not more than 10
  tree["train"]["tokens"] = 450;
  EXPECT_EQ(resolve_run_config(run_config_from_json(tree), 8, 1000, 2).train.steps, 3);
}

TEST(RunConfig, OverridesAndTomlErrors) {
  const fs::path path = fs::path(testing::TempDir()) / "saemill_config.toml";
  std::ofstream(path) << "name = \"a\"\n[activations]\npath = \"x\"\n[train]\nsteps = 5\n";
  const RunConfig config = load_run_config(path, {"train.lr=3e-4", "train.dtype=f32", "name=b"});
  EXPECT_EQ(config.train.lr, 3e-4);
  EXPECT_EQ(config.train.dtype, "f32");
  EXPECT_EQ(config.name, "b");
  EXPECT_THROW(load_run_config(path, {"train.lr"}), Error);
  std::ofstream(path) << "name = \n";
  EXPECT_THROW(load_run_config(path, {}), Error);
}

TEST(RunConfig, ATreeIsNotValidated) {
  const fs::path path = fs::path(testing::TempDir()) / "saemill_tree.toml";
  std::ofstream(path) << "odd = true\n[sae]\nk = [8, 16]\n";
  const nlohmann::json tree = load_config_tree(path, {"train.lr=[1e-3, 3e-4]", "name=b"});
  EXPECT_EQ(tree, nlohmann::json::parse(
                      R"({"odd": true, "name": "b", "sae": {"k": [8, 16]}, "train": {"lr": [1e-3, 3e-4]}})"));
  EXPECT_THROW(load_config_tree(path, {"sae.kk=1"}), ConfigError);
  EXPECT_THROW(load_config_tree(path, {"name=\xff"}), Error) << "no UTF-8";
  EXPECT_THROW(load_run_config(path, {}), ConfigError);
  std::ofstream(path) << "sae = 1\n";
  try {
    load_config_tree(path, {"sae.k=8"});
    FAIL() << "a number is no table";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_config);
  }
}

TEST(RunConfig, KeysThatChangeResults) {
  RunConfig a, b;
  b.train.seed = 1;
  b.train.log_every = 1;
  b.name = "other";
  EXPECT_EQ(keys_that_change_results(a, b), std::vector<std::string>{"train.seed"});
  b = a;
  b.train.micro_batch_size = 512;
  EXPECT_TRUE(keys_that_change_results(a, b).empty());
  a.sae.architecture = b.sae.architecture = "relu";
  EXPECT_EQ(keys_that_change_results(a, b), std::vector<std::string>{"train.micro_batch_size"});
}

TEST(ConfigSchema, HasEveryKeyWithItsDefault) {
  const auto schema = config_schema();
  EXPECT_EQ(schema["properties"]["train"]["properties"]["batch_size"]["default"], 4096);
  EXPECT_EQ(schema["properties"]["sae"]["properties"]["architecture"]["enum"].size(), 2u);
  EXPECT_EQ(schema["properties"]["sae"]["properties"]["k"]["x-applies-when"]["sae.architecture"], "topk");
}

TEST(MetricCatalog, NamesAreUnique) {
  std::set<std::string> names;
  for (const MetricRow& row : metric_catalog()) EXPECT_TRUE(names.insert(row.name).second) << row.name;
  EXPECT_TRUE(names.contains("fvu"));
}

TEST(EventLog, GoesOnAfterAHalfLine) {
  const fs::path path =
      fs::path(testing::TempDir()) / ("saemill_events_" + std::to_string(::getpid()) + ".jsonl");
  fs::remove(path);
  {
    EventLog log(path);
    log.append(1, {{"event", "started"}});
    log.append(1, {{"event", "metrics"}, {"step", 5}});
  }
  std::ofstream(path, std::ios::app) << "{\"seq\": 3, \"ev";
  EventLog log(path);
  EXPECT_EQ(log.last_seq(), 2);
  EXPECT_EQ(log.last_attempt(), 1);
  log.append(2, {{"event", "rewind"}, {"step", 0}});
  const auto events = read_events(path);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2]["seq"], 3);
  EXPECT_EQ(events[2]["attempt"], 2);
  EXPECT_THROW(log.append(2, {{"event", std::string(70000, 'x')}}), Error);
  EXPECT_EQ(log.last_seq(), 3);
  fs::remove(path);
}

}  // namespace
}  // namespace saemill
