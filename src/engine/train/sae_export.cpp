#include "engine/train/sae_export.h"

#include <algorithm>
#include <limits>

#include "common/base/error.h"
#include "common/formats/file_reader.h"
#include "common/formats/safetensors.h"

namespace saemill {

using nlohmann::json;

namespace {

constexpr const char* kConfig = "cfg.json";
constexpr const char* kWeights = "sae_weights.safetensors";
constexpr const char* kSaeLensVersion =
    "6.18.0";  // the layout follows it; below 6.0 SAELens reads old-style keys
constexpr int64_t kBlockFloats = int64_t{1} << 20;
constexpr int64_t kTile = 16;  // one cache line of floats

json text_or_null(const std::string& text) {
  return text.empty() ? json(nullptr) : json(text);
}

json make_config(const SaeExport& sae) {
  json cfg = {
      {"architecture", sae.architecture == "relu" ? "standard" : sae.architecture},
      {"d_in", sae.d_in},
      {"d_sae", sae.d_sae},
      {"dtype", "float32"},
      {"device", "cpu"},
      {"apply_b_dec_to_input", true},
      {"normalize_activations", "none"},
      {"reshape_activations", "none"},
  };
  if (sae.architecture == "topk") {
    cfg["k"] = sae.k;
    cfg["rescale_acts_by_decoder_norm"] = false;
  }
  cfg["metadata"] = {
      {"sae_lens_version", kSaeLensVersion},
      {"sae_lens_training_version", kSaeLensVersion},
      {"model_name", text_or_null(sae.model_name)},
      {"model_class_name", "HookedTransformer"},
      {"hook_name", text_or_null(sae.hook_name)},
      {"hook_head_index", nullptr},
      {"context_size", nullptr},
      {"prepend_bos", true},
      {"seqpos_slice", json::array({nullptr})},
      {"model_from_pretrained_kwargs", json::object()},
      {"dataset_path", nullptr},
      {"exclude_special_tokens", false},
      {"sequence_separator_token", "bos"},
      {"disable_concat_sequences", false},
  };
  return cfg;
}

// How many of `d_in` file rows of W_enc are in memory at a time.
int64_t block_rows(int64_t d_in, int64_t d_sae) {
  return std::clamp<int64_t>(kBlockFloats / d_sae, 1, d_in);
}

// Calls visit(latent, row) for latents [0, d_sae) and rows [first, last), tile by tile: one side of a
// transposition is always far apart in memory, and a tile of it stays in cache.
template <typename Visit>
void for_each_tiled(int64_t d_sae, int64_t first, int64_t last, const Visit& visit) {
  for (int64_t latents = 0; latents < d_sae; latents += kTile) {
    const int64_t latents_end = std::min(d_sae, latents + kTile);
    for (int64_t row = first; row < last; ++row) {
      for (int64_t latent = latents; latent < latents_end; ++latent) visit(latent, row);
    }
  }
}

SafetensorsTensor transposed(const SaeExport& sae) {
  return {"W_enc", "F32", {sae.d_in, sae.d_sae}, [&sae](const auto& sink) {
            const int64_t step = block_rows(sae.d_in, sae.d_sae);
            std::vector<float> block(static_cast<size_t>(step * sae.d_sae));
            for (int64_t first = 0; first < sae.d_in; first += step) {
              const int64_t last = std::min(sae.d_in, first + step);
              for_each_tiled(sae.d_sae, first, last, [&](int64_t latent, int64_t row) {
                block[static_cast<size_t>((row - first) * sae.d_sae + latent)] =
                    sae.W_enc[static_cast<size_t>(latent * sae.d_in + row)];
              });
              const auto filled = static_cast<size_t>((last - first) * sae.d_sae);
              sink(std::as_bytes(std::span(block).first(filled)));
            }
          }};
}

SafetensorsTensor plain(const char* name, std::vector<int64_t> shape, std::span<const float> values) {
  return {name, "F32", std::move(shape), [values](const auto& sink) { sink(std::as_bytes(values)); }};
}

void check_export(const SaeExport& sae) {
  const auto is = [](std::span<const float> values, int64_t count) {
    return values.size() == static_cast<size_t>(count);
  };
  const bool topk = sae.architecture == "topk";
  ensure(topk || sae.architecture == "relu", "write_sae: an architecture that has no SAELens form");
  ensure(!topk || (sae.k > 0 && sae.k <= sae.d_sae), "write_sae: k");
  ensure(sae.d_in > 0 && sae.d_sae > 0, "write_sae: no rows or columns");
  ensure(is(sae.W_enc, sae.d_in * sae.d_sae) && is(sae.W_dec, sae.d_in * sae.d_sae) &&
             is(sae.b_enc, sae.d_sae) && is(sae.b_dec, sae.d_in),
         "write_sae: the spans do not fit d_in and d_sae");
}

// The settings of cfg.json under which our arithmetic and that of the file agree.
class Config {
 public:
  Config(const json& cfg, std::string path) : cfg_(cfg), path_(std::move(path)) {}

  // Absent is accepted where SAELens has the same default.
  void must_be(const char* key, const json& accepted, bool optional) const {
    const auto found = cfg_.find(key);
    if (found == cfg_.end() && optional) return;
    if (found == cfg_.end()) refuse(key, "absent", accepted.dump());
    if (*found != accepted) refuse(key, shown(*found), accepted.dump());
  }

  int64_t positive(const char* key) const {
    const auto found = cfg_.find(key);
    if (found == cfg_.end()) refuse(key, "absent", "a whole number from 1");
    const bool fits = found->is_number_unsigned() && found->get<uint64_t>() >= 1 &&
                      found->get<uint64_t>() <= std::numeric_limits<int32_t>::max();
    if (!fits) refuse(key, shown(*found), "a whole number from 1 to 2147483647");
    return found->get<int64_t>();
  }

  std::string architecture() const {
    const auto found = cfg_.find("architecture");
    if (found == cfg_.end()) refuse("architecture", "absent", "\"topk\" or \"standard\"");
    if (*found == "topk") return "topk";
    if (*found != "standard") refuse("architecture", shown(*found), "\"topk\" or \"standard\"");
    return "relu";
  }

  [[noreturn]] void refuse(const char* key, const std::string& found, const std::string& accepted) const {
    fail(ErrorCode::bad_data, "{}: {} is {}; accepted: {}", path_, key, found, accepted);
  }

 private:
  static std::string shown(const json& value) { return value.dump(-1, ' ', true).substr(0, 80); }

  const json& cfg_;
  std::string path_;
};

json read_config(const fs::path& path) {
  json cfg = json::parse(read_file(path), nullptr, false);
  if (cfg.is_discarded() || !cfg.is_object()) {
    fail(ErrorCode::bad_data, "{}: is not a JSON object; a SAELens configuration is accepted", path.string());
  }
  return cfg;
}

SafetensorsEntry entry_of(const SafetensorsHeader& header, const char* name,
                          const std::vector<int64_t>& shape, const fs::path& path) {
  const auto found = header.tensors.find(name);
  if (found == header.tensors.end()) {
    fail(ErrorCode::bad_data, "{}: has no tensor {}; W_enc, W_dec, b_enc and b_dec are needed", path.string(),
         name);
  }
  const SafetensorsEntry& entry = found->second;
  if (entry.dtype != "F32" || entry.shape != shape) {
    fail(ErrorCode::bad_data, "{}: tensor {} is {} [{}]; F32 [{}] is accepted", path.string(), name,
         entry.dtype, fmt::join(entry.shape, ", "), fmt::join(shape, ", "));
  }
  return entry;
}

std::vector<float> read_plain(const FileReader& file, const SafetensorsEntry& entry) {
  std::vector<float> values(entry.bytes / sizeof(float));
  file.read_at(entry.begin, std::as_writable_bytes(std::span(values)));
  return values;
}

std::vector<float> read_transposed(const FileReader& file, const SafetensorsEntry& entry) {
  const int64_t d_in = entry.shape[0], d_sae = entry.shape[1];
  std::vector<float> values(static_cast<size_t>(d_in * d_sae));
  const int64_t step = block_rows(d_in, d_sae);
  std::vector<float> block(static_cast<size_t>(step * d_sae));
  for (int64_t first = 0; first < d_in; first += step) {
    const int64_t last = std::min(d_in, first + step);
    const auto filled = std::span(block).first(static_cast<size_t>((last - first) * d_sae));
    const auto offset = static_cast<uint64_t>(first * d_sae) * sizeof(float);
    file.read_at(entry.begin + offset, std::as_writable_bytes(filled));
    for_each_tiled(d_sae, first, last, [&](int64_t latent, int64_t row) {
      values[static_cast<size_t>(latent * d_in + row)] =
          block[static_cast<size_t>((row - first) * d_sae + latent)];
    });
  }
  return values;
}

}  // namespace

void write_sae(FileSystem& files, const fs::path& folder, const SaeExport& sae) {
  check_export(sae);
  const fs::path place = folder.has_filename() ? folder : folder.parent_path();
  const fs::path temporary = place.string() + ".tmp";
  const fs::path old = place.string() + ".old";
  files.remove_all(temporary);
  std::error_code error;
  fs::create_directories(temporary, error);
  if (error) fail(ErrorCode::retry, "{}: cannot make the folder: {}", temporary.string(), error.message());

  write_safetensors(files, temporary / kWeights,
                    {transposed(sae), plain("W_dec", {sae.d_sae, sae.d_in}, sae.W_dec),
                     plain("b_enc", {sae.d_sae}, sae.b_enc), plain("b_dec", {sae.d_in}, sae.b_dec)});
  const std::string text = make_config(sae).dump(2) + "\n";
  const auto file = files.create(temporary / kConfig);
  file->write(std::as_bytes(std::span(text)));
  file->sync();
  file->close();
  files.sync_folder(temporary);

  // A folder cannot be renamed over another. Between the two renames the job is not finished yet: a crash
  // there exports again.
  files.remove_all(old);
  if (fs::exists(place, error)) files.rename(place, old);
  files.rename(temporary, place);
  files.remove_all(old);
}

SaeWeights read_sae(const fs::path& folder) {
  SaeWeights sae;
  sae.cfg = read_config(folder / kConfig);
  const Config config(sae.cfg, (folder / kConfig).string());
  sae.architecture = config.architecture();
  sae.d_in = config.positive("d_in");
  sae.d_sae = config.positive("d_sae");
  config.must_be("apply_b_dec_to_input", true, true);
  config.must_be("normalize_activations", "none", true);
  config.must_be("reshape_activations", "none", true);
  if (sae.architecture == "topk") {
    sae.k = config.positive("k");
    if (sae.k > sae.d_sae) config.refuse("k", fmt::to_string(sae.k), "d_sae or less");
    config.must_be("rescale_acts_by_decoder_norm", false, true);
  }

  const FileReader file(folder / kWeights);
  const SafetensorsHeader header = read_safetensors_header(file.path());
  const auto entry = [&](const char* name, const std::vector<int64_t>& shape) {
    return entry_of(header, name, shape, file.path());
  };
  sae.W_enc = read_transposed(file, entry("W_enc", {sae.d_in, sae.d_sae}));
  sae.W_dec = read_plain(file, entry("W_dec", {sae.d_sae, sae.d_in}));
  sae.b_enc = read_plain(file, entry("b_enc", {sae.d_sae}));
  sae.b_dec = read_plain(file, entry("b_dec", {sae.d_in}));
  return sae;
}

}  // namespace saemill
