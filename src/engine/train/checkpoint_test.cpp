#include "engine/train/checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "common/base/error.h"
#include "common/formats/safetensors.h"
#include "engine/train/failing_files_test.h"

namespace saemill {
namespace {

using nlohmann::json;

constexpr int64_t kRows = 100;
constexpr int64_t kColumns = 7;

// One row tensor of floats, one of counters, one shared bias: what a rank holds of rows [first, last).
struct Piece {
  Piece(int64_t first_row, int64_t last_row)
      : first(first_row),
        last(last_row),
        weights(static_cast<size_t>((last - first) * kColumns)),
        fired(static_cast<size_t>(last - first)),
        bias(kColumns) {}

  static Piece filled(int64_t first_row, int64_t last_row, int seed) {
    Piece piece(first_row, last_row);
    for (size_t i = 0; i < piece.weights.size(); ++i) {
      piece.weights[i] = static_cast<float>(seed * 100000 + first_row * kColumns + static_cast<int64_t>(i));
    }
    for (size_t i = 0; i < piece.fired.size(); ++i) {
      piece.fired[i] = (int64_t{1} << 40) + seed + first_row + static_cast<int64_t>(i);
    }
    for (size_t i = 0; i < piece.bias.size(); ++i)
      piece.bias[i] = static_cast<float>(seed) - static_cast<float>(i);
    return piece;
  }

  std::vector<CheckpointTensor> rows() {
    return {{"W_enc", "F32", kColumns, reinterpret_cast<std::byte*>(weights.data())},
            {"last_fired", "I64", 1, reinterpret_cast<std::byte*>(fired.data())}};
  }
  std::vector<CheckpointTensor> shared() {
    return {{"b_dec", "F32", kColumns, reinterpret_cast<std::byte*>(bias.data())}};
  }
  bool operator==(const Piece&) const = default;

  int64_t first, last;
  std::vector<float> weights;
  std::vector<int64_t> fired;
  std::vector<float> bias;
};

json state_of(int seed) {
  return {{"position", int64_t{1} << 50}, {"scale", 0.1 + seed}, {"seed", seed}};
}

uint64_t save(FileSystem& files, const fs::path& run, int64_t step, int seed,
              const std::vector<int64_t>& cuts = {0, 34, 67, 100}) {
  const fs::path folder = begin_checkpoint(files, run, step);
  std::vector<CheckpointFile> parts;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    Piece piece = Piece::filled(cuts[i], cuts[i + 1], seed);
    parts.insert(parts.begin(), write_checkpoint_rows(files, folder, cuts[i], cuts[i + 1], piece.rows()));
  }
  parts.push_back(write_checkpoint_shared(files, folder, Piece::filled(0, 0, seed).shared()));
  return publish_checkpoint(files, run, step, parts, state_of(seed));
}

void expect_content(const CheckpointManifest& manifest, int seed, const std::vector<int64_t>& cuts) {
  EXPECT_EQ(manifest.state, state_of(seed));
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    Piece piece(cuts[i], cuts[i + 1]);
    read_checkpoint_rows(manifest, cuts[i], cuts[i + 1], piece.rows());
    read_checkpoint_shared(manifest, piece.shared());
    EXPECT_EQ(piece, Piece::filled(cuts[i], cuts[i + 1], seed)) << "rows from " << cuts[i];
  }
}

class Checkpoint : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    run_ = fs::path(testing::TempDir()) / (std::string("saemill_checkpoint_") + info->name());
    reset();
  }
  void TearDown() override { fs::remove_all(run_); }

  void reset() {
    fs::remove_all(run_);
    fs::create_directories(run_);
  }
  fs::path folder(int64_t step) const { return run_ / "checkpoints" / checkpoint_name(step); }
  fs::path shard(int64_t step) const { return folder(step) / "rows-00000034-00000067.safetensors"; }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(run_ / "checkpoints"))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  // The newest valid one must be `step`; returns all warnings as one text.
  std::string expect_newest(int64_t step) {
    std::vector<std::string> warnings;
    const auto found = newest_valid_checkpoint(run_, &warnings);
    EXPECT_TRUE(found.has_value());
    if (found) {
      EXPECT_EQ(found->step, step);
    }
    std::string all;
    for (const std::string& warning : warnings) all += warning + "\n";
    return all;
  }

  FileSystem& disk_ = real_file_system();
  fs::path run_;
};

void flip(const fs::path& path, std::streamoff at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(at);
  file.put(byte);
}

void expect_bad_data(const std::function<void()>& action, const std::string& found) {
  try {
    action();
    ADD_FAILURE() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_data);
    EXPECT_NE(std::string(error.what()).find(found), std::string::npos) << error.what();
  }
}

TEST_F(Checkpoint, WrittenByThreeReadByAny) {
  EXPECT_EQ(newest_valid_checkpoint(run_, nullptr), std::nullopt);
  const uint64_t bytes = save(disk_, run_, 1000, 1);
  uint64_t on_disk = 0;
  for (const auto& entry : fs::directory_iterator(folder(1000))) on_disk += entry.file_size();
  EXPECT_EQ(bytes, on_disk);
  EXPECT_EQ(names(), std::vector<std::string>{"step-00001000"});
  const CheckpointManifest manifest = read_manifest(folder(1000));
  EXPECT_EQ(manifest.step, 1000);
  EXPECT_EQ(manifest.parts.size(), 4u);
  verify_checkpoint(manifest);
  for (const std::vector<int64_t>& cuts : std::vector<std::vector<int64_t>>{
           {0, 100}, {0, 50, 100}, {0, 1, 33, 34, 35, 99, 100}, {40, 60}, {34, 34}}) {
    expect_content(manifest, 1, cuts);
  }
  // A rank without rows writes no file and is no part.
  save(disk_, run_, 1001, 2, {0, 60, 60, 100});
  EXPECT_EQ(read_manifest(folder(1001)).parts.size(), 3u);
  expect_content(read_manifest(folder(1001)), 2, {0, 30, 100});
}

TEST_F(Checkpoint, RefusesWhatDoesNotFit) {
  save(disk_, run_, 5, 1);
  const CheckpointManifest manifest = read_manifest(folder(5));
  Piece piece(0, 120);
  expect_bad_data([&] { read_checkpoint_rows(manifest, 0, 120, piece.rows()); }, "rows up to 100");
  auto tensors = piece.rows();
  tensors[0].name = "W_gate";
  expect_bad_data([&] { read_checkpoint_rows(manifest, 0, 9, tensors); },
                  "W_enc, last_fired; W_gate is expected");
  tensors[0].name = "W_enc";
  tensors[0].columns = 8;
  expect_bad_data([&] { read_checkpoint_rows(manifest, 0, 9, tensors); },
                  "F32 [34, 7]; F32 [34, 8] is expected");
  auto shared = piece.shared();
  shared[0].dtype = "F64";
  expect_bad_data([&] { read_checkpoint_shared(manifest, shared); }, "b_dec is F32 [7]; F64 [7]");
}

TEST_F(Checkpoint, DamagedNewestIsSkippedWithASentence) {
  const struct {
    const char* name;
    std::function<void()> damage;
    std::string found;
  } cases[] = {
      {"truncated", [&] { fs::resize_file(shard(2000), fs::file_size(shard(2000)) - 1); }, "are expected"},
      {"longer", [&] { fs::resize_file(shard(2000), fs::file_size(shard(2000)) + 1); }, "are expected"},
      {"flipped", [&] { flip(shard(2000), 400); }, "has CRC-32C"},
      {"shard missing", [&] { fs::remove(shard(2000)); }, "rows-00000034-00000067"},
      {"no manifest", [&] { fs::remove(folder(2000) / "manifest.json"); }, "manifest.json: cannot be read"},
      {"empty manifest", [&] { fs::resize_file(folder(2000) / "manifest.json", 0); }, "is not JSON"},
      {"renamed", [&] { fs::rename(folder(2000), folder(3000)); }, "holds step 2000; step 3000"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.name);
    reset();
    save(disk_, run_, 1000, 1);
    save(disk_, run_, 2000, 2);
    EXPECT_EQ(expect_newest(2000), "");
    test.damage();
    const std::string warning = expect_newest(1000);
    EXPECT_NE(warning.find("is damaged and was skipped"), std::string::npos) << warning;
    EXPECT_NE(warning.find(test.found), std::string::npos) << warning;
    fs::remove_all(folder(1000));
    EXPECT_EQ(newest_valid_checkpoint(run_, nullptr), std::nullopt);
  }
}

// Whatever byte of a manifest flips: it is refused, or it means the same (white space).
TEST_F(Checkpoint, EveryFlippedByteOfTheManifestIsSeen) {
  save(disk_, run_, 1, 1);
  const CheckpointManifest good = read_manifest(folder(1));
  const fs::path path = folder(1) / "manifest.json";
  for (std::streamoff i = 0; i < static_cast<std::streamoff>(fs::file_size(path)); ++i) {
    flip(path, i);
    try {
      const CheckpointManifest read = read_manifest(folder(1));
      EXPECT_EQ(read.state, good.state) << "byte " << i;
      EXPECT_EQ(read.step, good.step) << "byte " << i;
      EXPECT_EQ(read.parts.size(), good.parts.size()) << "byte " << i;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_data) << error.what();
    }
    flip(path, i);
  }
}

TEST_F(Checkpoint, ManifestsThatLeadElsewhereAreRefused) {
  save(disk_, run_, 1, 1);
  const json good = json::parse(read_file(folder(1) / "manifest.json"));
  const auto refused = [&](const std::function<void(json&)>& change, const std::string& found) {
    json manifest = good;
    change(manifest);
    manifest.erase("crc32c");
    const std::string text = manifest.dump();
    manifest["crc32c"] = crc32c(0, std::as_bytes(std::span(text)));
    std::ofstream(folder(1) / "manifest.json") << manifest;
    expect_bad_data([&] { read_manifest(folder(1)); }, found);
  };
  refused([](json& m) { m["files"][0]["name"] = "../x.safetensors"; }, "\"name\" is \"../x.safetensors\"");
  refused([](json& m) { m["files"][0]["name"] = ".."; }, "\"name\" is \"..\"");
  refused([](json& m) { m["files"][0]["bytes"] = -1; }, "\"bytes\" is -1");
  refused([](json& m) { m["files"][0]["crc32c"] = 4294967296; }, "32 bits");
  refused([](json& m) { m["files"][1].erase("first_row"); }, "has no \"first_row\"");
  refused([](json& m) { m["files"][2]["first_row"] = 33; }, "starts at row 33; row 34 is expected");
  refused([](json& m) { m["files"][2]["last_row"] = 3; }, "\"last_row\" is 3");
  refused([](json& m) { m["files"] = 3; }, "\"files\" is 3");
  refused([](json& m) { m["files"][0] = 3; }, "no JSON object");
  refused([](json& m) { m["version"] = 2; }, "\"version\" is 2; accepted: 1");
  refused([](json& m) { m["format"] = "x"; }, "accepted: saemill-checkpoint");
}

TEST_F(Checkpoint, LeftOversAreIgnoredAndRemoved) {
  save(disk_, run_, 1000, 1);
  fs::copy(folder(1000), folder(1500).string() + ".tmp");
  fs::create_directories(run_ / "checkpoints" / "notes");
  fs::create_directories(run_ / "checkpoints" / "step-12x");
  EXPECT_EQ(expect_newest(1000), "");
  save(disk_, run_, 2000, 2);
  EXPECT_EQ(names(), (std::vector<std::string>{"notes", "step-00001000", "step-00002000", "step-12x"}));
}

TEST_F(Checkpoint, AnotherOfTheSameStepTakesItsPlace) {
  save(disk_, run_, 1000, 1);
  save(disk_, run_, 1000, 2, {0, 100});
  EXPECT_EQ(names(), std::vector<std::string>{"step-00001000"});
  expect_content(read_manifest(folder(1000)), 2, {0, 100});
  // A crash between the two renames leaves only the one that stood aside.
  fs::rename(folder(1000), folder(1000).string() + ".old");
  EXPECT_EQ(expect_newest(1000), "");
  EXPECT_EQ(checkpoint_steps(run_), std::vector<int64_t>{1000});
  save(disk_, run_, 1000, 3);
  EXPECT_EQ(names(), std::vector<std::string>{"step-00001000"});
}

TEST_F(Checkpoint, KeepsTheNewestThatAreWhole) {
  EXPECT_EQ(checkpoint_steps(run_), std::vector<int64_t>{});
  for (const int step : {1, 2, 3, 4}) save(disk_, run_, step, step);
  EXPECT_EQ(checkpoint_steps(run_), (std::vector<int64_t>{1, 2, 3, 4}));
  remove_old_checkpoints(disk_, run_, 2);
  EXPECT_EQ(checkpoint_steps(run_), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000003", "step-00000004"}));
  save(disk_, run_, 123456789, 5);
  fs::resize_file(shard(123456789), 10);
  remove_old_checkpoints(disk_, run_, 1);
  EXPECT_EQ(names(), (std::vector<std::string>{"step-00000004", "step-123456789"}));
  expect_newest(4);
}

TEST_F(Checkpoint, PublishRefusesAHole) {
  const fs::path temporary = begin_checkpoint(disk_, run_, 1);
  Piece first = Piece::filled(0, 10, 1), third = Piece::filled(20, 30, 1);
  std::vector<CheckpointFile> parts{write_checkpoint_rows(disk_, temporary, 0, 10, first.rows()),
                                    write_checkpoint_rows(disk_, temporary, 20, 30, third.rows())};
  EXPECT_THROW(publish_checkpoint(disk_, run_, 1, parts, json::object()), Error);
  EXPECT_EQ(newest_valid_checkpoint(run_, nullptr), std::nullopt);
}

// The disk fails at every call in turn, once or for good: what was valid stays valid, and the next attempt
// works.
class CheckpointCrash : public Checkpoint, public testing::WithParamInterface<bool> {};

TEST_P(CheckpointCrash, ThePreviousAlwaysStaysValid) {
  for (const int64_t step : {int64_t{2000}, int64_t{1000}}) {  // beside the previous one, and in its place
    int n = 0;
    for (bool failed = true; failed; ++n) {
      SCOPED_TRACE(testing::Message() << "step " << step << " call " << n);
      reset();
      save(disk_, run_, 1000, 1);
      FailingFiles files(n, GetParam());
      try {
        save(files, run_, step, 2);
        remove_old_checkpoints(files, run_, 1);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::retry);
      }
      failed = files.failed();
      std::vector<std::string> warnings;
      const auto found = newest_valid_checkpoint(run_, &warnings);
      ASSERT_TRUE(found.has_value());
      EXPECT_TRUE(warnings.empty()) << warnings[0];
      const int seed = found->state.at("seed").get<int>();
      expect_content(*found, seed, {0, 50, 100});
      if (!failed) {
        EXPECT_EQ(seed, 2);
      }
      save(disk_, run_, 2000, 3);
      remove_old_checkpoints(disk_, run_, 1);
      expect_content(*newest_valid_checkpoint(run_, nullptr), 3, {0, 100});
      EXPECT_EQ(names(), std::vector<std::string>{"step-00002000"});
    }
    EXPECT_GT(n, 20);
  }
}

INSTANTIATE_TEST_SUITE_P(OnceOrForGood, CheckpointCrash, testing::Bool());

}  // namespace
}  // namespace saemill
