#include "engine/train/sae_export.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "common/base/error.h"
#include "common/formats/safetensors.h"
#include "engine/train/failing_files_test.h"

namespace saemill {
namespace {

using nlohmann::json;

// An SAE whose numbers say where they belong.
struct Example {
  Example(int64_t inputs, int64_t latents, float offset = 0)
      : d_in(inputs),
        d_sae(latents),
        b_enc(static_cast<size_t>(latents)),
        b_dec(static_cast<size_t>(inputs)) {
    for (int64_t i = 0; i < d_in * d_sae; ++i) {
      W_enc.push_back(static_cast<float>(i) + offset);
      W_dec.push_back(-static_cast<float>(i) - offset);
    }
    for (size_t i = 0; i < b_enc.size(); ++i) b_enc[i] = static_cast<float>(i) + 0.25f;
    for (size_t i = 0; i < b_dec.size(); ++i) b_dec[i] = static_cast<float>(i) + 0.75f;
  }
  SaeExport topk(int64_t k) const {
    return {"topk", k, d_in, d_sae, W_enc, W_dec, b_enc, b_dec, "gpt2", "blocks.0.hook_mlp_out"};
  }
  SaeExport relu() const { return {"relu", 0, d_in, d_sae, W_enc, W_dec, b_enc, b_dec, "", ""}; }

  int64_t d_in, d_sae;
  std::vector<float> W_enc, W_dec, b_enc, b_dec;
};

class SaeFiles : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    run_ = fs::path(testing::TempDir()) / (std::string("saemill_sae_") + info->name());
    fs::remove_all(run_);
    fs::create_directories(run_);
  }
  void TearDown() override { fs::remove_all(run_); }

  fs::path folder() const { return run_ / "sae"; }
  std::string bytes() const {
    return read_file(folder() / "cfg.json") + read_file(folder() / "sae_weights.safetensors");
  }

  FileSystem& disk_ = real_file_system();
  fs::path run_;
};

TEST_F(SaeFiles, RoundTrip) {
  // Small; not a multiple of the tile; several blocks of W_enc rows.
  for (const auto& [d_in, d_sae] : {std::pair{2, 3}, std::pair{37, 131}, std::pair{9, 300'001}}) {
    const Example example(d_in, d_sae);
    write_sae(disk_, folder(), example.topk(2));
    const SaeWeights read = read_sae(folder());
    EXPECT_EQ(read.architecture, "topk");
    EXPECT_EQ(read.k, 2);
    EXPECT_EQ(read.d_in, d_in);
    EXPECT_EQ(read.d_sae, d_sae);
    EXPECT_EQ(read.W_enc, example.W_enc);
    EXPECT_EQ(read.W_dec, example.W_dec);
    EXPECT_EQ(read.b_enc, example.b_enc);
    EXPECT_EQ(read.b_dec, example.b_dec);
  }
  EXPECT_FALSE(fs::exists(run_ / "sae.tmp"));
  EXPECT_FALSE(fs::exists(run_ / "sae.old"));
}

TEST_F(SaeFiles, LayoutIsThatOfSaeLens) {
  const Example example(2, 3);
  write_sae(disk_, folder(), example.topk(2));
  const fs::path path = folder() / "sae_weights.safetensors";
  const SafetensorsHeader header = read_safetensors_header(path);
  EXPECT_EQ(header.tensors.size(), 4u);
  const SafetensorsEntry& entry = header.tensors.at("W_enc");
  EXPECT_EQ(entry.shape, (std::vector<int64_t>{2, 3}));
  std::vector<float> stored(6);
  std::memcpy(stored.data(), read_file(path).data() + entry.begin, entry.bytes);
  EXPECT_EQ(stored, (std::vector<float>{0, 2, 4, 1, 3, 5}));
  EXPECT_EQ(header.tensors.at("W_dec").shape, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(header.tensors.at("b_enc").shape, std::vector<int64_t>{3});
  EXPECT_EQ(header.tensors.at("b_dec").shape, std::vector<int64_t>{2});

  const json cfg = json::parse(read_file(folder() / "cfg.json"));
  EXPECT_EQ(cfg.at("architecture"), "topk");
  EXPECT_EQ(cfg.at("k"), 2);
  EXPECT_EQ(cfg.at("rescale_acts_by_decoder_norm"), false);
  EXPECT_EQ(cfg.at("apply_b_dec_to_input"), true);
  EXPECT_EQ(cfg.at("normalize_activations"), "none");
  EXPECT_EQ(cfg.at("reshape_activations"), "none");
  EXPECT_EQ(cfg.at("dtype"), "float32");
  EXPECT_EQ(cfg.at("device"), "cpu");
  const json& metadata = cfg.at("metadata");
  EXPECT_EQ(metadata.at("sae_lens_version"), "6.18.0");
  EXPECT_EQ(metadata.at("model_name"), "gpt2");
  EXPECT_EQ(metadata.at("hook_name"), "blocks.0.hook_mlp_out");
  EXPECT_TRUE(metadata.at("hook_head_index").is_null());
}

TEST_F(SaeFiles, ReluIsStandard) {
  const Example example(4, 5);
  write_sae(disk_, folder(), example.relu());
  const SaeWeights read = read_sae(folder());
  EXPECT_EQ(read.architecture, "relu");
  EXPECT_EQ(read.cfg.at("architecture"), "standard");
  EXPECT_FALSE(read.cfg.contains("k"));
  EXPECT_TRUE(read.cfg.at("metadata").at("model_name").is_null());
  EXPECT_EQ(read.W_enc, example.W_enc);
}

TEST_F(SaeFiles, EqualInputGivesEqualBytes) {
  const Example example(5, 40);
  write_sae(disk_, folder(), example.topk(2));
  const std::string first = bytes();
  write_sae(disk_, folder() / "", example.topk(2));  // replaces; a slash at the end changes nothing
  EXPECT_EQ(bytes(), first);
  EXPECT_EQ(first.find(run_.string()), std::string::npos);
}

TEST_F(SaeFiles, AFailingDiskLeavesAWholeFolderOrNone) {
  const Example before(3, 4, 0), after(3, 4, 1000);
  int n = 0;
  for (bool failed = true; failed; ++n) {
    SCOPED_TRACE(n);
    fs::remove_all(folder());
    write_sae(disk_, folder(), before.topk(1));
    FailingFiles files(n, true);
    try {
      write_sae(files, folder(), after.topk(2));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::retry);
    }
    failed = files.failed();
    if (fs::exists(folder())) {
      const SaeWeights read = read_sae(folder());
      EXPECT_EQ(read.W_enc, read.k == 1 ? before.W_enc : after.W_enc);
    }
    write_sae(disk_, folder(), after.topk(2));
    EXPECT_EQ(read_sae(folder()).W_enc, after.W_enc);
    EXPECT_FALSE(fs::exists(run_ / "sae.tmp"));
  }
  EXPECT_GT(n, 8);
}

TEST_F(SaeFiles, RefusesWhatWouldMeanSomethingElse) {
  const Example example(4, 6);
  const struct {
    const char* name;
    std::function<void(json&)> change;
    const char* found;
  } cases[] = {
      {"architecture", [](json& c) { c["architecture"] = "gated"; },
       "architecture is \"gated\"; accepted: \"topk\""},
      {"no architecture", [](json& c) { c.erase("architecture"); }, "architecture is absent"},
      {"input bias", [](json& c) { c["apply_b_dec_to_input"] = false; }, "apply_b_dec_to_input is false"},
      {"normalization", [](json& c) { c["normalize_activations"] = "layer_norm"; }, "is \"layer_norm\""},
      {"heads", [](json& c) { c["reshape_activations"] = "hook_z"; }, "reshape_activations is \"hook_z\""},
      {"rescaling", [](json& c) { c["rescale_acts_by_decoder_norm"] = true; }, "decoder_norm is true"},
      {"k", [](json& c) { c["k"] = 0; }, "k is 0"},
      {"no k", [](json& c) { c.erase("k"); }, "k is absent"},
      {"k beyond", [](json& c) { c["k"] = 7; }, "k is 7; accepted: d_sae or less"},
      {"d_in", [](json& c) { c["d_in"] = "4"; }, "d_in is \"4\""},
      {"another d_in", [](json& c) { c["d_in"] = 5; }, "W_enc is F32 [4, 6]; F32 [5, 6] is accepted"},
      {"not an object", [](json& c) { c = 3; }, "is not a JSON object"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.name);
    write_sae(disk_, folder(), example.topk(2));
    json cfg = json::parse(read_file(folder() / "cfg.json"));
    test.change(cfg);
    std::ofstream(folder() / "cfg.json") << cfg;
    try {
      read_sae(folder());
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_data);
      EXPECT_NE(std::string(error.what()).find(test.found), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(folder().string()), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(read_sae(run_ / "nothing"), Error);
}

}  // namespace
}  // namespace saemill
