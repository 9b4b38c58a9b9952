#include "control/api/planning.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>

#include "common/base/temporary_folder.h"
#include "control/api/endpoints.h"
#include "control/api/problem.h"
#include "control/store/measured_run_fixture.h"

namespace saemill::api {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kGigabyte = 1'000'000'000;

Device device(int index, DeviceKind kind, int64_t memory_free) {
  Device made;
  made.index = index;
  made.kind = kind;
  made.uuid = fmt::format("{}-{:08x}-0000", kind == DeviceKind::cpu ? "CPU" : "GPU", index);
  made.name = kind == DeviceKind::cpu ? "CPU" : "NVIDIA H200";
  made.memory_free = memory_free;
  made.availability = Availability::free;
  made.reason = {"free", "free"};
  return made;
}

// Three GPUs, of which the second is busy, then two CPU slots.
class Planning : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(folder_ / "a.npy") << "x";
    database_ = std::make_unique<Database>("sqlite:" + (folder_ / "store.db").string());
    measured_ = std::make_unique<MeasuredRuns>(*database_);
    for (int i = 0; i < 3; ++i) snapshot_.devices.push_back(device(i, DeviceKind::gpu, 100 * kGigabyte));
    for (int i = 3; i < 5; ++i) snapshot_.devices.push_back(device(i, DeviceKind::cpu, 4 * kGigabyte));
    Device& busy = snapshot_.devices[1];
    busy.availability = Availability::leased;
    busy.reason = {"leased", "training-7 has it"};
    busy.current_job = "training-7", busy.current_job_type = "training";
    services_.snapshot = [this] { return std::make_shared<const Snapshot>(snapshot_); };
    services_.activation_folders = {folder_};
    services_.info.server_id = "server", services_.measured_runs = measured_.get();
    services_.inspect = [this](const fs::path& path, const std::string& tensor) {
      ++asked_, path_ = path, tensor_ = tensor;
      return inspect_(path);
    };
  }
  static Json config() {
    return {{"activations", {{"path", "a.npy"}}}, {"sae", {{"d_sae", 1024}}}, {"train", {{"steps", 10}}}};
  }

  Json get(HttpResponse (*endpoint)(Services&, const Request&), Fields query) {
    Request request;
    request.query = std::move(query);
    return answer(endpoint, request);
  }
  Json post(HttpResponse (*endpoint)(Services&, const Request&), Json body) {
    Request request;
    request.body = std::move(body);
    return answer(endpoint, request);
  }
  // The body; status_ says which.
  Json answer(HttpResponse (*endpoint)(Services&, const Request&), const Request& request) {
    HttpResponse response;
    try {
      response = endpoint(services_, request);
    } catch (const Problem& problem) {
      response = problem_response(problem);
    }
    status_ = response.status;
    return Json::parse(response.body);
  }
  static std::vector<std::string> all(const Json& list, const char* name) {
    std::vector<std::string> values;
    for (const Json& one : list) values.push_back(one.at(name).get<std::string>());
    return values;
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path, path_;
  std::string tensor_;
  Snapshot snapshot_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<MeasuredRuns> measured_;
  Services services_;
  int asked_ = 0, status_ = 0;
  std::function<Json(const fs::path&)> inspect_ = [](const fs::path&) {
    return Json{{"files", 1},     {"rows", 1000}, {"d_in", 64},
                {"dtype", "F32"}, {"tensor", ""}, {"bytes", 256000}};
  };
};
using Words = std::vector<std::string>;

TEST_F(Planning, RecommendsWhatIsFree) {
  const Json two = get(recommend_devices, {{"memory_mb", "20000"}, {"count", "2"}});
  EXPECT_EQ(status_, 200);
  EXPECT_EQ(two["choices"][0]["gpu_ids"], Json({0, 2}));
  EXPECT_EQ(two["choices"][0]["device_uuids"].size(), 2U);
  EXPECT_EQ(get(recommend_devices, {{"kind", "cpu"}})["choices"][0]["gpu_ids"], Json({3}));
  EXPECT_EQ(get(recommend_devices, {{"exclude", "0,gpu:1"}})["choices"][0]["gpu_ids"], Json({2}));
  snapshot_.devices[2].name = "NVIDIA H100";
  get(recommend_devices, {{"count", "2"}});
  EXPECT_EQ(status_, 409);
  get(recommend_devices, {{"count", "2"}, {"mixed_models", "true"}});
  EXPECT_EQ(status_, 200);
}

TEST_F(Planning, TooFewAreAConflictThatTellsWhy) {
  snapshot_.devices[0].memory_free = 10 * kGigabyte;
  const Json problem = get(recommend_devices, {{"memory_mb", "20000"}, {"count", "2"}});
  EXPECT_EQ(status_, 409);
  EXPECT_EQ(problem["code"], "insufficient_gpus");
  EXPECT_EQ(problem["asked"], 2);
  EXPECT_EQ(problem["suitable"], 1);
  EXPECT_EQ(all(problem["rejected"], "code"), (Words{"memory", "leased"}));
  EXPECT_NE(problem["detail"].get<std::string>().find("1 of 2"), std::string::npos);
}

TEST_F(Planning, WrongParametersAreRefused) {
  for (const auto& [name, value] : Fields{{"count", "0"},
                                          {"count", "two"},
                                          {"count", "1025"},
                                          {"memory_mb", "-1"},
                                          {"memory_mb", "99999999999999999999"},
                                          {"kind", "tpu"},
                                          {"mixed_models", "1"},
                                          {"exclude", "9"},
                                          {"exclude", "0,,2"}}) {
    const Json problem = get(recommend_devices, {{name, value}});
    EXPECT_EQ(status_, 400) << name << "=" << value;
    EXPECT_EQ(problem["errors"][0]["pointer"], "?" + name);
  }
}

TEST_F(Planning, ValidatesAndTellsWhichDevicesThoseAre) {
  const Json good = post(validate_devices, {{"gpu_ids", {"gpu:2", 0}}, {"memory_mb", 1000}});
  EXPECT_EQ(status_, 200);
  EXPECT_EQ(good["valid"], true);
  EXPECT_EQ(good["gpu_ids"], Json({2, 0}));
  EXPECT_EQ(good["device_uuids"][0], snapshot_.devices[2].uuid);
  const Json bad = post(validate_devices, {{"gpu_ids", {0, "gpu:0", 1, 9}}});
  EXPECT_EQ(status_, 200);
  EXPECT_EQ(bad["valid"], false);
  EXPECT_EQ(all(bad["errors"], "code"), (Words{"does_not_exist", "named_twice", "busy"}));
  EXPECT_EQ(bad["gpu_ids"], Json({0, 1}));
  EXPECT_EQ(asked_, 0);
}

TEST_F(Planning, ValidatesTheMemoryOfAConfiguration) {
  snapshot_.devices[0].memory_free = kGigabyte / 2;  // less than the context of a GPU alone
  const Json json = post(validate_devices, {{"gpu_ids", {0, 2}}, {"config", config()}});
  EXPECT_EQ(all(json["errors"], "code"), Words{"memory"});
  EXPECT_EQ(json["errors"][0]["gpu"], "0");
  EXPECT_EQ(path_, folder_ / "a.npy");
  EXPECT_EQ(post(validate_devices, {{"gpu_ids", {3}}, {"config", config()}})["valid"], true);
  post(validate_devices, {{"gpu_ids", {0}}, {"config", config()}, {"memory_mb", 1}});
  EXPECT_EQ(status_, 422);
  post(validate_devices, {{"memory_mb", 1}});
  EXPECT_EQ(status_, 422);
  post(validate_devices, {{"gpu_ids", {0}}, {"memory", 1}});
  EXPECT_EQ(status_, 422);
}

TEST_F(Planning, EstimateAndValidationAgree) {
  const Json body{{"config", config()}, {"gpu_ids", {0}}};
  const int64_t required = post(estimate_training, body)["devices"][0]["memory_required"];
  for (const int64_t memory_free : {required, required - 1}) {
    snapshot_.devices[0].memory_free = memory_free;
    EXPECT_EQ(post(estimate_training, body)["devices"][0]["fits"], memory_free == required);
    EXPECT_EQ(post(validate_devices, body)["valid"], memory_free == required);
  }
}

TEST_F(Planning, EstimatesNamedDevices) {
  const Json json =
      post(estimate_training, {{"config", config()}, {"gpu_ids", {snapshot_.devices[2].uuid, "gpu:7"}}});
  EXPECT_EQ(status_, 200);
  EXPECT_EQ(all(json["devices"], "gpu"), (Words{"gpu:2", "gpu:7"}));
  EXPECT_EQ(json["devices"][0]["fits"], true);
  EXPECT_FALSE(json["devices"][1].contains("fits"));  // this machine has no such GPU
  EXPECT_EQ(json["batch"]["global"], 4096);
  EXPECT_EQ(json["context_measured"], false);
  int64_t sum = 0;
  for (const auto& [category, bytes] : json["devices"][0]["breakdown"].items()) sum += bytes.get<int64_t>();
  EXPECT_EQ(sum, json["devices"][0]["memory_required"]);
  EXPECT_EQ(json["devices"][0]["breakdown"].size(), 9U);
}

TEST_F(Planning, EstimatesANumberOfDevices) {
  const Json gpus = post(estimate_training, {{"config", config()}, {"device_count", 2}});
  EXPECT_EQ(all(gpus["devices"], "gpu"), (Words{"gpu:0", "gpu:1"}));
  snapshot_.devices.erase(snapshot_.devices.begin(), snapshot_.devices.begin() + 3);
  snapshot_.devices[0].index = 0, snapshot_.devices[1].index = 1;
  const Json slots =
      post(estimate_training, {{"config", config()}, {"gpu_ids", nullptr}, {"device_count", 2}});
  EXPECT_EQ(all(slots["devices"], "gpu"), (Words{"cpu:0", "cpu:1"}));
  EXPECT_FALSE(slots.contains("context_measured"));
  EXPECT_EQ(post(estimate_training, {{"config", config()}})["devices"].size(), 1U);
}

TEST_F(Planning, UsesWhatWasMeasured) {
  const Json body{{"config", config()}, {"gpu_ids", {0}}};
  const Json assumed = post(estimate_training, body);
  services_.gpu_constants = [](const Device& gpu, const std::string&) -> std::optional<DeviceConstants> {
    return gpu.name == "NVIDIA H200" ? std::optional(DeviceConstants{123, 0}) : std::nullopt;
  };
  const Json measured = post(estimate_training, body);
  EXPECT_EQ(measured["context_measured"], true);
  EXPECT_EQ(measured["devices"][0]["breakdown"]["context"], 123);
  EXPECT_NE(assumed["devices"][0]["memory_required"], measured["devices"][0]["memory_required"]);
}

TEST_F(Planning, TheSpeedIsThatOfEarlierTrainings) {
  const auto speed = [&](const Json& ids, const Json& what = config()) {
    const Json found = post(estimate_training, {{"config", what}, {"gpu_ids", ids}});
    EXPECT_EQ(status_, 200) << found;
    return found;
  };
  EXPECT_FALSE(speed({0}).contains("activations_per_second"));
  RunConfig run = run_config_from_json(nlohmann::json(config()));
  run = resolve_run_config(run, 64, 1000, 1);
  const std::string resolved = run_config_to_json(run).dump();
  testing_tools::add_measured(*database_, "one", resolved, R"(["GPU-00000000-0000"])");
  testing_tools::add_measured(*database_, "gone", resolved, R"(["GPU-no-more"])");
  testing_tools::add_measured(*database_, "other keys", R"({"nonsense": 1})", R"(["GPU-00000000-0000"])");
  const double once = static_cast<double>(run.train.batch_size) / 0.1;
  const Json found = speed({1});
  EXPECT_NEAR(found["activations_per_second"].get<double>(), once, 1e-6);
  EXPECT_EQ(found["efficiency"], 1);
  EXPECT_EQ(found["based_on"], 1);
  EXPECT_FALSE(speed({3}).contains("based_on")) << "a CPU slot is something else";
  EXPECT_FALSE(speed({0, 1}).contains("efficiency"));
  // 100 ms of which 20 are exchange: two of them compute for 80 each what took one 100.
  testing_tools::add_measured(*database_, "two", resolved, R"(["GPU-00000000-0000", "GPU-00000001-0000"])",
                              20);
  const Json both = speed({0, 1});
  EXPECT_GT(both["efficiency"].get<double>(), 0.5);
  EXPECT_LT(both["efficiency"].get<double>(), 1);
  Json wide = config();
  wide["sae"]["d_sae"] = 2048;
  EXPECT_LT(speed({0}, wide)["activations_per_second"].get<double>(), once);
  services_.info.server_id = "another";
  EXPECT_FALSE(speed({0}).contains("based_on"));
}

TEST_F(Planning, DevicesThatCannotBeEstimatedAreRefused) {
  const auto refused = [&](const Json& ids) {
    const Json problem = post(estimate_training, {{"config", config()}, {"gpu_ids", ids}});
    EXPECT_EQ(status_, 422) << ids;
    return problem["errors"];
  };
  EXPECT_EQ(refused({0, 9, "tpu:0"})[1]["pointer"], "/gpu_ids/2");
  EXPECT_EQ(refused({0, "gpu:0"})[0]["code"], "named_twice");
  EXPECT_EQ(refused({0, "cpu:0"})[0]["code"], "mixed_models");
  EXPECT_EQ(refused(Json::array())[0]["pointer"], "/gpu_ids");
  for (const Json& count : {Json(0), Json(-1), Json(1025), Json("2"), Json(1.5)}) {
    post(estimate_training, {{"config", config()}, {"device_count", count}});
    EXPECT_EQ(status_, 422) << count;
  }
  post(estimate_training, {{"config", config()}, {"gpu_ids", {0}}, {"device_count", 1}});
  EXPECT_EQ(status_, 422);
  EXPECT_EQ(asked_, 0);
}

TEST_F(Planning, EveryWrongKeyIsTold) {
  Json wrong = config();
  wrong["sae"]["k"] = -3, wrong["train"]["dtype"] = "f64", wrong["train"]["l/r"] = 1;
  const Json problem = post(estimate_training, {{"config", wrong}});
  EXPECT_EQ(status_, 422);
  EXPECT_EQ(problem["code"], "invalid_config");
  EXPECT_EQ(all(problem["errors"], "pointer"),
            (Words{"/config/sae/k", "/config/train/dtype", "/config/train/l~1r"}));
  EXPECT_EQ(all(problem["errors"], "code"), (Words{"invalid_value", "invalid_value", "unknown_member"}));
  EXPECT_EQ(problem["errors"][0]["value"], -3);
  EXPECT_EQ(problem["errors"][1]["accepted"], "bf16, f32");
  post(estimate_training, {{"config", "text"}});
  EXPECT_EQ(status_, 422);
  post(estimate_training, {{"device_count", 1}});
  EXPECT_EQ(status_, 422);
}

TEST_F(Planning, ValuesThatDoNotFitTogetherAreTold) {
  const auto pointer = [&](const char* group, const char* name, const Json& value) {
    Json changed = config();
    changed[group][name] = value;
    const Json problem = post(estimate_training, {{"config", changed}});
    EXPECT_EQ(status_, 422) << name;
    return problem["errors"].at(0)["pointer"].get<std::string>();
  };
  EXPECT_EQ(pointer("sae", "k", 4000), "/config/sae/k");
  EXPECT_EQ(pointer("activations", "d_in", 65), "/config/activations/d_in");
  EXPECT_EQ(pointer("train", "micro_batch_size", 100), "/config/train/micro_batch_size");
  inspect_ = [](const fs::path&) { return Json{{"rows", 1}, {"d_in", 1 << 24}}; };
  EXPECT_EQ(pointer("sae", "d_sae", 1 << 30), "/config/sae/d_sae");  // bytes beyond counting
}

TEST_F(Planning, AnEstimateWithAWidthNeedsNoData) {
  Json sketch{{"activations", {{"d_in", 768}}}, {"train", {{"epochs", 2}, {"lr_decay_steps", 500}}}};
  post(estimate_training, {{"config", sketch}});
  EXPECT_EQ(status_, 200);
  sketch["activations"]["path"] = "not-there-yet";
  post(estimate_training, {{"config", sketch}});
  EXPECT_EQ(status_, 200);
  EXPECT_EQ(asked_, 0);
  sketch["activations"]["path"] = "/etc/passwd";
  EXPECT_EQ(post(estimate_training, {{"config", sketch}})["code"], "path_not_allowed");
  EXPECT_EQ(status_, 403);
  sketch["activations"] = {{"path", "not-there-yet"}};
  EXPECT_EQ(post(estimate_training, {{"config", sketch}})["errors"][0]["pointer"],
            "/config/activations/path");
  EXPECT_EQ(status_, 404);
}

TEST_F(Planning, InspectsWhatIsAllowed) {
  const Json json = post(inspect_activations, {{"path", "a.npy"}, {"tensor", "acts"}});
  EXPECT_EQ(status_, 200);
  EXPECT_EQ(json["d_in"], 64);
  EXPECT_EQ(path_, folder_ / "a.npy");
  EXPECT_EQ(tensor_, "acts");
  post(inspect_activations, {{"path", "/etc/passwd"}});
  EXPECT_EQ(status_, 403);
  post(inspect_activations, {{"path", "b.npy"}});
  EXPECT_EQ(status_, 404);
  for (const Json& body : {Json{{"tensor", "x"}}, Json{{"path", 5}}, Json{{"path", ""}}, Json::array(),
                           Json{{"path", "a.npy"}, {"tensor", std::string("x\0y", 3)}}}) {
    post(inspect_activations, body);
    EXPECT_EQ(status_, 422) << body;
  }
  EXPECT_EQ(asked_, 1);
}

TEST_F(Planning, WhatIsWrongWithAFileIsTold) {
  inspect_ = [](const fs::path& path) -> Json {
    fail(ErrorCode::bad_data, "{}: not a shard", path.string());
  };
  const Json problem = post(inspect_activations, {{"path", "a.npy"}});
  EXPECT_EQ(status_, 422);
  EXPECT_EQ(problem["errors"][0]["pointer"], "/path");
  EXPECT_EQ(post(estimate_training, {{"config", config()}})["errors"][0]["pointer"],
            "/config/activations/path");
  EXPECT_EQ(status_, 422);
  inspect_ = [](const fs::path& path) -> Json {  // it goes while the worker starts
    fs::remove(path);
    fail(ErrorCode::bad_data, "{}: cannot open", path.string());
  };
  post(inspect_activations, {{"path", "a.npy"}});
  EXPECT_EQ(status_, 404);
}

TEST_F(Planning, AWorkerThatDoesNotAnswerIsNobodysMistake) {
  inspect_ = [](const fs::path&) -> Json { fail(ErrorCode::retry, "no answer"); };
  EXPECT_THROW(post(inspect_activations, {{"path", "a.npy"}}), Error);
  EXPECT_THROW(post(estimate_training, {{"config", config()}}), Error);
}

}  // namespace
}  // namespace saemill::api
