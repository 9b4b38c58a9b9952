// saemill bench, and scripts/gpu-check as far as it goes without a GPU: what is measured and in which order,
// never how long it took.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const std::string kBin = SAEMILL_BIN_DIR;
const std::string kSource = SAEMILL_SOURCE_DIR;
const std::string kWorker = kBin + "/saemill-worker", kEmulated = kBin + "/saemill-worker-emulated";

struct Done {
  int code = -1;
  std::string output, errors;
};

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class Bench : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("saemill_bench_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Done run(const std::string& command) const {
    const fs::path output = folder_ / "output", errors = folder_ / "errors";
    const int status =
        std::system((command + " >" + output.string() + " 2>" + errors.string() + " </dev/null").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, read(output), read(errors)};
  }
  // One line of JSON and nothing else.
  Json json(const std::string& command) const {
    const Done done = run(command + " --json");
    EXPECT_EQ(done.code, 0) << command << ": " << done.errors;
    EXPECT_EQ(done.output.find('\n') + 1, done.output.size()) << done.output;
    return Json::parse(done.output, nullptr, false);
  }
  void expect_refused(const std::string& command, int code, const std::string& text) const {
    const Done done = run(command);
    EXPECT_EQ(done.code, code) << command << ": " << done.errors;
    EXPECT_NE(done.errors.find(text), std::string::npos) << command << ": " << done.errors;
    EXPECT_EQ(done.output, "") << command;
  }

  fs::path folder_;
};

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

template <typename T>
std::vector<T> column(const Json& rows, const char* key) {
  std::vector<T> values;
  for (const Json& row : rows) values.push_back(row.at(key).get<T>());
  return values;
}

// Phases with a floor, and that over_floor names those beyond 1.3 times it that are not waits of the host.
std::vector<std::string> with_floor(const Json& step) {
  std::vector<std::string> names, over;
  for (const auto& [name, phase] : step.at("phases").items()) {
    if (!phase.contains("floor_ms")) continue;
    names.push_back(name);
    EXPECT_NEAR(phase["times_floor"].get<double>() * phase["floor_ms"].get<double>(),
                phase["ms"].get<double>(), 1e-9 + 1e-6 * phase["ms"].get<double>());
    if (phase["times_floor"] > 1.3 && !phase.value("host", false)) over.push_back(name);
  }
  EXPECT_EQ(step.at("over_floor").get<std::vector<std::string>>(), over);
  return names;
}

using Names = std::vector<std::string>;

TEST_F(Bench, StepOnTheCpu) {
  const Json step =
      json(kBin + "/saemill bench step --shape 256,32,512,8 --dtype f32 --repeats 3 --warmup 1 --threads 1");
  EXPECT_EQ(step["device"], "cpu:0");
  EXPECT_EQ(step["steps"], 3);
  EXPECT_EQ(step["threads"], 1);
  EXPECT_EQ(step["shape"], "256,32,512,8");
  EXPECT_EQ(step["dtype"], "f32");
  EXPECT_FALSE(step["same_batch"].get<bool>());
  EXPECT_EQ(step["backend"].get<std::string>().substr(0, 4), "cpu ");
  EXPECT_NEAR(step["activations_per_second"].get<double>() * step["step_ms"].get<double>(), 256e3, 1);
  EXPECT_EQ(with_floor(step), (Names{"center", "decode", "latents", "select"}));
  for (const char* phase : {"adam", "data_wait", "exchange", "group", "sums"})
    EXPECT_TRUE(step["phases"].contains(phase)) << phase;
  EXPECT_GT(step["plan_bytes"].get<int64_t>(), 0);
  EXPECT_FALSE(step.contains("step_ms_windows") || step.contains("h2d_bytes_per_second"));
  for (const auto& [name, phase] : step["phases"].items()) EXPECT_FALSE(phase.contains("host")) << name;
}

TEST_F(Bench, HotLatentsAreInEveryActivation) {
  for (const std::string& program :
       {kBin + "/saemill bench step --threads 1", kEmulated + " bench step --devices gpu:0"}) {
    const std::string command = program + " --shape 512,16,256,4 --repeats 1 --warmup 0 --no-floors ";
    EXPECT_LT(json(command)["most_hits"], 128) << program;
    const Json hot = json(command + "--hot 3");
    EXPECT_EQ(hot["most_hits"], 512) << program;
    EXPECT_EQ(hot["hot"], 3);
  }
  expect_refused(kBin + "/saemill bench step --shape 512,16,256,4 --hot 5", 64,
                 "--hot is 5; accepted: with topk, 0 to k (4 here)");
  expect_refused(kBin + "/saemill bench step --shape 128,16,16,64 --hot 17", 64, "0 to k (16 here)");
}

TEST_F(Bench, StepOnAGpu) {
  const std::string small =
      kEmulated + " bench step --devices gpu:0 --shape 128,16,256,4 --repeats 2 --warmup 1 ";
  const Json topk = json(small + "--same-batch");
  EXPECT_EQ(topk["device"], "gpu:0");
  EXPECT_TRUE(topk["same_batch"].get<bool>());
  EXPECT_EQ(topk["backend"].get<std::string>().substr(0, 13), "cuda emulated");
  EXPECT_EQ(with_floor(topk), (Names{"center", "decode", "group", "latents", "select", "stage"}));
  EXPECT_EQ(topk["steps"], 2);
  auto windows = topk["step_ms_windows"].get<std::vector<double>>();
  ASSERT_EQ(windows.size(), 3u);
  std::sort(windows.begin(), windows.end());
  EXPECT_EQ(topk["step_ms"], windows[1]);
  Names waits;
  for (const auto& [name, phase] : topk["phases"].items())
    if (phase.value("host", false)) waits.push_back(name);
  EXPECT_EQ(waits, (Names{"data_wait", "exchange", "stage"}));
  EXPECT_GT(topk["gemm_flops"].get<double>(), 0);
  EXPECT_GT(topk["copy_bytes_per_second"].get<double>(), 0);
  EXPECT_NEAR(
      topk["phases"]["stage"]["floor_ms"].get<double>() * topk["h2d_bytes_per_second"].get<double>() / 1e3,
      4 * 128 * 16, 1e-3);
  // The plan is what the device holds, give or take the alignment of allocations.
  EXPECT_NEAR(topk["resident_bytes"].get<double>(), topk["plan_bytes"].get<double>(), 65536);
  const Json relu = json(small + "--arch relu --dtype f32");
  EXPECT_EQ(with_floor(relu), (Names{"center", "dense_forward", "latents", "stage"}));
  const Done people = run(small);
  EXPECT_NE(people.output.find("<- over 1.3"), std::string::npos) << people.output;
  EXPECT_NE(people.output.find("(the host waits)"), std::string::npos) << people.output;
}

TEST_F(Bench, StepOnAGpuOfItsOwnLength) {
  const std::string small = kEmulated + " bench step --devices gpu:0 --shape 64,4,64,2 --same-batch ";
  const Json step = json(small);
  for (const double ms : step["step_ms_windows"]) EXPECT_GE(ms * step["steps"].get<int>(), 300 * (1 - 1e-9));
  const Json bare = json(small + "--warmup 0 --repeats 1 --no-floors");
  EXPECT_EQ(with_floor(bare), Names{});
  EXPECT_FALSE(bare.contains("gemm_flops") || bare.contains("h2d_bytes_per_second"));
  EXPECT_EQ(bare["step_ms_windows"].size(), 3u);
}

// At 64 rows 1 MiB of pre-activations is 4096 latents, and both of the largest are all of them.
TEST_F(Bench, SelectByChunkAndAlgorithm) {
  const std::string command =
      kEmulated + " bench select --shape 64,4,9216,2 --chunk-mb 1,2,64,1 --repeats 1 ";
  for (const std::string dtype : {"bf16", "f32"}) {
    const Json result = json(command + "--dtype " + dtype);
    EXPECT_EQ(keys(result),
              (Names{"shape", "dtype", "device", "gpu", "repeats", "points", "default", "best"}));
    EXPECT_EQ(result["shape"], "64,4,9216,2");
    EXPECT_EQ(result["dtype"], dtype);
    EXPECT_EQ(result["device"], "gpu:0");
    const Json& points = result["points"];
    EXPECT_EQ(column<int>(points, "chunk_mb"), (std::vector<int>{1, 2, 128}));
    EXPECT_EQ(column<int>(points, "latents"), (std::vector<int>{4096, 8192, 9216}));
    EXPECT_EQ(column<int>(points, "algorithm"), (std::vector<int>{0, 0, 0})) << "the twin has one";
    double least = points[0]["both_ms"];
    for (const Json& point : points) {
      for (const char* name : {"gemm_ms", "select_ms", "both_ms"}) EXPECT_GT(point[name], 0) << name;
      EXPECT_TRUE(point["bits_equal"].get<bool>());
      least = std::min(least, point["both_ms"].get<double>());
    }
    EXPECT_EQ(result["default"], points[2]);
    EXPECT_NE(std::find(points.begin(), points.end(), result["best"]), points.end());
    EXPECT_EQ(result["best"]["both_ms"], least);
  }
  const Done people = run(command);
  EXPECT_NE(people.output.find("<- default"), std::string::npos) << people.output;
  EXPECT_NE(people.output.find("<- best"), std::string::npos) << people.output;
}

TEST_F(Bench, SelectRefusesWhatCannotBe) {
  const std::string select = " bench select --shape 64,4,9216,2 ";
  expect_refused(kEmulated + select + "--chunk-mb 16,0", 64, "--chunk-mb has 0; accepted: 1 to 8192");
  expect_refused(kEmulated + select + "--chunk-mb 8193", 64, "--chunk-mb has 8193");
  expect_refused(kEmulated + select + "--devices cpu:0", 64, "--devices is \"cpu:0\"; accepted: gpu:K");
  expect_refused(kEmulated + select + "--devices gpu:1", 78, "CUDA shows 1 GPU(s)");
  expect_refused(kEmulated + select + "--dtype f16", 64, "accepted: bf16, f32");
  expect_refused(kEmulated + " bench select --shape 64,4,9216,9000", 78, "8192");
  for (const char* option : {"--chunk-mb x", "--algorithms 0", "--repeats 0", "--threads 1"})
    EXPECT_EQ(run(kEmulated + select + option).code, 64) << option;
  EXPECT_EQ(run(kEmulated + " bench select").code, 64) << "a shape is required";
}

TEST_F(Bench, RefusesWhatCannotBe) {
  const std::string step = kWorker + " bench step ", scaling = kWorker + " bench scaling ";
  expect_refused(step + "--devices gpu", 64, "--devices is \"gpu\"; accepted: cpu:0, gpu:K");
  expect_refused(step + "--shape 1,2,3", 64, "accepted: B,n,M,k");
  expect_refused(step + "--arch dense", 64, "accepted: topk, relu");
  expect_refused(step + "--dtype f16", 64, "accepted: bf16, f32");
  expect_refused(kEmulated + " bench step --devices gpu:0 --threads 2", 64, "--threads is for CPU ranks");
  expect_refused(kEmulated + " bench step --devices gpu:1", 78, "CUDA shows 1 GPU(s)");
  expect_refused(scaling + "--devices cpu:0", 64, "accepted: cpu, gpu");
  expect_refused(scaling + "--ranks 1,0", 64, "--ranks has 0");
  expect_refused(scaling + "--ranks 2 --ranks-per-device 2", 64, "it is for --devices gpu");
  expect_refused(scaling + "--devices gpu --ranks 4 --ranks-per-device 2", 64, "at least 4");
  expect_refused(kEmulated + " bench scaling --devices gpu --ranks 2 --shape 128,16,256,4", 78,
                 "gpu:1 is asked for");
  expect_refused(kWorker + " bench collectives --ranks 1", 64, "accepted: 2 or more");
  expect_refused(kWorker + " bench memory --shape x", 64, "--shape is \"x\"");
  EXPECT_EQ(run(kWorker + " bench step --pace 3").code, 64);
  EXPECT_EQ(run(kWorker + " bench memory").code, 64) << "a shape is required";
}

TEST_F(Bench, ScalingOverCpuRanks) {
  const fs::path svg = folder_ / "curve.svg";
  const Json result = json(
      kBin + "/saemill bench scaling --ranks 1,2,4 --shape 512,16,1024,4 --dtype f32 --repeats 2 --svg " +
      svg.string());
  const Json& points = result["points"];
  EXPECT_EQ(column<int>(points, "ranks"), (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(points[0]["speed_up"], 1.0);
  EXPECT_EQ(points[0]["bytes_per_step"], 0.0);
  // A rank lacks half of what is gathered, then three quarters.
  EXPECT_NEAR(points[2]["bytes_per_step"].get<double>() / points[1]["bytes_per_step"].get<double>(), 1.5,
              0.01);
  bool any = false;
  for (const Json& point : points) {
    EXPECT_EQ(keys(point), keys(points[0]));
    EXPECT_NEAR(point["efficiency"].get<double>() * point["ranks"].get<double>(),
                point["speed_up"].get<double>(), 1e-9);
    EXPECT_EQ(point["exchange"], "shared memory");
    EXPECT_GT(point["memory_bytes_per_rank"].get<double>(), 0);
    const bool shares =
        point["ranks"].get<int>() * result["threads_per_rank"].get<int>() > result["cores"].get<int>();
    EXPECT_EQ(point["shares_devices"].get<bool>(), shares);
    any = any || shares;
  }
  EXPECT_EQ(result["note"].get<std::string>().find("correctness, not speed") != std::string::npos, any);
  const std::string picture = read(svg);
  EXPECT_EQ(picture.substr(0, 4), "<svg");
  size_t circles = 0;
  for (size_t at = 0; (at = picture.find("<circle", at)) != std::string::npos; ++at) ++circles;
  EXPECT_EQ(circles, 3u);
}

TEST_F(Bench, ScalingOnOneGpu) {
  const std::string command =
      kEmulated +
      " bench scaling --devices gpu --ranks-per-device 2 --ranks 1,2 --shape 256,16,256,4 --repeats 1";
  const Json result = json(command);
  const Json& points = result["points"];
  EXPECT_EQ(column<int>(points, "ranks"), (std::vector<int>{1, 2}));
  EXPECT_EQ(column<std::string>(points, "exchange"), (Names{"one gpu", "one gpu"}));
  EXPECT_EQ(column<bool>(points, "shares_devices"), (std::vector<bool>{false, true}));
  EXPECT_EQ(points[0]["bytes_per_step"], 0.0);
  EXPECT_GT(points[1]["bytes_per_step"].get<double>(), 0);
  EXPECT_GT(points[1]["memory_bytes_per_rank"].get<double>(), 0);
  EXPECT_EQ(result["note"], "2 ranks share one GPU: the figure shows correctness, not speed");
}

TEST_F(Bench, CollectivesBySize) {
  const Json cpu = json(kWorker + " bench collectives --ranks 3 --max-mb 1");
  EXPECT_EQ(cpu["ranks"], 3);
  EXPECT_EQ(cpu["exchange"], "shared memory");
  EXPECT_EQ(column<int64_t>(cpu["gather"], "bytes"),
            (std::vector<int64_t>{1024, 4096, 16384, 65536, 262144, 1048576}));
  EXPECT_EQ(column<int64_t>(cpu["all_reduce"], "bytes"), (std::vector<int64_t>{8, 1024, 131072}));
  for (const Json& size : cpu["gather"])  // two thirds of it come from others
    EXPECT_NEAR(size["bus_bytes_per_second"].get<double>() * size["latency_us"].get<double>() / 1e6,
                size["bytes"].get<double>() * 2 / 3, 1);
  EXPECT_TRUE(cpu.contains("barrier_us"));
  const Json gpu = json(kEmulated + " bench collectives --devices gpu --ranks-per-device 2 --max-mb 1");
  EXPECT_EQ(gpu["exchange"], "one gpu");
  EXPECT_EQ(gpu["gather"].size(), 6u);
  for (const Json& size : gpu["gather"]) {
    EXPECT_GT(size["host_us"], 0);
    EXPECT_LE(size["host_us"], size["latency_us"]) << "it is a part of the whole";
  }
  EXPECT_FALSE(cpu["gather"][0].contains("host_us"));
  EXPECT_NE(gpu["note"].get<std::string>().find("correctness"), std::string::npos);
}

TEST_F(Bench, MemoryBesideThePlan) {
  const Json cpu = json(kWorker + " bench memory --shape 512,64,2048,8 --dtype f32 --threads 1");
  EXPECT_EQ(column<std::string>(cpu["phases"], "phase"),
            (Names{"start", "first step", "log step", "checkpoint"}));
  int64_t plan = 0, scratch = 0;
  for (const auto& [name, entry] : cpu["buffers"].items()) {
    plan += entry["plan_bytes"].get<int64_t>();
    if (entry["resident_bytes"].is_null())
      scratch += entry["plan_bytes"].get<int64_t>();
    else
      EXPECT_EQ(entry["resident_bytes"], entry["plan_bytes"]) << name;
  }
  EXPECT_EQ(cpu["plan"]["host_bytes"], plan);
  EXPECT_GE(cpu["phases"][0]["host_bytes"].get<int64_t>(), plan - scratch);
  const Json gpu = json(kEmulated + " bench memory --devices gpu:0 --shape 128,16,256,4");
  EXPECT_EQ(column<std::string>(gpu["phases"], "phase"), column<std::string>(cpu["phases"], "phase"));
  for (const Json& phase : gpu["phases"])
    EXPECT_NEAR(phase["device_bytes"].get<double>(), gpu["plan"]["device_bytes"].get<double>(), 65536);
}

TEST_F(Bench, LoaderBesideACopy) {
  const fs::path files = folder_ / "files";
  fs::create_directories(files);
  const Json result = json(kBin + "/saemill bench loader --sizes 64x48,96x16 --threads 1,3 --megabytes 1 " +
                           "--batches 12 --folder " + files.string());
  const Json& lines = result["lines"];
  EXPECT_EQ(column<int>(lines, "threads"),
            (std::vector<int>{1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3}));
  const Names types = column<std::string>(lines, "type"), sizes = column<std::string>(lines, "size");
  for (size_t i = 0; i < types.size(); ++i) {
    EXPECT_EQ(types[i], (Names{"F32", "F16", "BF16", "table"})[i / 2 % 4]);
    EXPECT_EQ(sizes[i], i < 8 ? "64x48" : "96x16");
    const std::string source = lines[i]["source"];
    EXPECT_EQ(source.find(types[i] == "table" ? "table in memory" : files.string()), 0u) << source;
    const double values = i < 8 ? 64 * 48 : 96 * 16, ms = lines[i]["batch_ms"];
    EXPECT_NEAR(lines[i]["gigabytes_per_second"].get<double>() * ms, values * 4 / 1e6, 1e-9);
    EXPECT_GT(lines[i]["memcpy_gigabytes_per_second"].get<double>(), 0);
  }
  EXPECT_TRUE(fs::is_empty(files));
  const std::string cold = kBin + "/saemill bench loader --sizes 64x48 --threads 1 --megabytes 1 --cold ";
  const Json blocks = json(cold + "--batches 80 --block-rows 32 --window-blocks 16");
  EXPECT_EQ(column<std::string>(blocks["lines"], "type"), (Names{"F32", "F16", "BF16"})) << "no table";
  EXPECT_EQ(blocks["block_rows"], 32);
  EXPECT_EQ(blocks["window_blocks"], 16);
  expect_refused(cold + "--types table", 64, "accepted: F32, F16, BF16");
  expect_refused(cold + "--batches 90 --types F32", 64, "accepted: up to 85 batches");
  expect_refused(kWorker + " bench loader --sizes 64", 64, "--sizes has \"64\"; accepted: ROWSxWIDTH");
  expect_refused(kWorker + " bench loader --folder " + (folder_ / "none").string(), 75,
                 "cannot make the folder");
}

TEST_F(Bench, GpuCheckUpToTheFirstDevice) {
  const fs::path report = folder_ / "report.json", pack = folder_ / "pack";
  const std::string command = kSource + "/scripts/gpu-check --build " + fs::path(kBin).parent_path().string();
  if (!fs::exists(kBin + "/backend_conformance_gpu")) {
    const Done done = run(command + " --dry-run --pack " + pack.string());
    EXPECT_EQ(done.code, 1);
    EXPECT_NE(done.errors.find("built without CUDA"), std::string::npos) << done.errors;
    return;
  }
  const Done done = run(command + " --dry-run --pack " + pack.string() + " --out " + report.string());
  ASSERT_EQ(done.code, 0) << done.output << done.errors;
  const Json told = Json::parse(read(report));
  EXPECT_TRUE(told["ok"].get<bool>());
  EXPECT_TRUE(told["dry_run"].get<bool>());
  Names started;
  for (const Json& check : told["checks"]) {
    EXPECT_EQ(keys(check), (Names{"name", "status", "seconds", "message", "figures", "output"}));
    EXPECT_EQ(check["status"], "ok") << check;
    const std::string name = check["name"];
    if (name.starts_with("start/")) started.push_back(name.substr(6));
  }
  for (const auto& file : fs::directory_iterator(pack / "bin"))
    EXPECT_NE(std::find(started.begin(), started.end(), file.path().filename()), started.end())
        << file.path();
  uintmax_t bytes = 0;
  for (const auto& file : fs::recursive_directory_iterator(pack))
    if (file.is_regular_file()) bytes += file.file_size();
  EXPECT_LT(bytes, 45'000'000u);
  // What it has not made, it does not replace.
  fs::remove(pack / "gpu-check.json");
  EXPECT_EQ(run(command + " --pack " + pack.string()).code, 1);
  EXPECT_TRUE(fs::exists(pack / "run"));
}

}  // namespace
