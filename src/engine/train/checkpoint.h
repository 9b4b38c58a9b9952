// Checkpoints that do not depend on the number of ranks: safetensors shards of latent rows plus a JSON
// manifest.
//
//   RUN/checkpoints/step-00001000/{manifest.json, rows-00000000-00002048.safetensors, shared.safetensors}
//
// Each rank writes its rows into step-00001000.tmp/, syncs, and hands size and CRC-32C to rank 0, which
// writes manifest.json last, syncs the folder and renames it. A folder without .tmp is complete; reading
// verifies sizes and checksums all the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "common/protocol/checkpoint_folders.h"

namespace saemill {

// A tensor with one row per latent ([d_sae, columns]) of which this rank has rows [first_row, first_row +
// rows), or, in shared tensors, a whole one. `data` is the caller's memory; columns * dtype size * rows
// bytes.
struct CheckpointTensor {
  std::string name;
  std::string dtype;  // as safetensors names it
  int64_t columns = 1;
  std::byte* data = nullptr;
};

struct CheckpointFile {
  std::string name;
  uint64_t bytes = 0;
  uint32_t crc32c = 0;
  int64_t first_row = 0;  // rows files only
  int64_t last_row = 0;
};

// Writing, in this order: rank 0 begins (removes a stale .tmp, makes the folder), all write, rank 0
// publishes, or takes back what cannot become whole.
fs::path begin_checkpoint(FileSystem& files, const fs::path& run, int64_t step);
CheckpointFile write_checkpoint_rows(FileSystem& files, const fs::path& folder, int64_t first_row,
                                     int64_t last_row, const std::vector<CheckpointTensor>& tensors);
// shared tensors: whole, `rows` = 1, [columns]
CheckpointFile write_checkpoint_shared(FileSystem& files, const fs::path& folder,
                                       const std::vector<CheckpointTensor>& tensors);
// `state` is any JSON the trainer needs back (step, position, schedule, counters). Returns the bytes of all
// files.
uint64_t publish_checkpoint(FileSystem& files, const fs::path& run, int64_t step,
                            const std::vector<CheckpointFile>& parts, const nlohmann::json& state);
void abandon_checkpoint(FileSystem& files, const fs::path& run, int64_t step);
// Of those up to `newest`; later ones are of an attempt that was taken back.
void remove_old_checkpoints(FileSystem& files, const fs::path& run, int64_t keep_last,
                            int64_t newest = INT64_MAX);
// The steps of all that are there, oldest first.
std::vector<int64_t> checkpoint_steps(const fs::path& run);

struct CheckpointManifest {
  int64_t step = 0;
  std::vector<CheckpointFile> parts;
  nlohmann::json state;
  fs::path folder;
};

// Reading. verify_checkpoint: Error{bad_data} names the file, what was found and expected.
CheckpointManifest read_manifest(const fs::path& checkpoint_folder);
void verify_checkpoint(const CheckpointManifest& manifest);
// The newest valid checkpoint up to step `at_most`; what is damaged is skipped with a sentence in *warnings.
// None: nullopt.
std::optional<CheckpointManifest> newest_valid_checkpoint(const fs::path& run,
                                                          std::vector<std::string>* warnings,
                                                          int64_t at_most = INT64_MAX);
// Fills the rows [first_row, last_row) of each tensor from whichever files hold them.
void read_checkpoint_rows(const CheckpointManifest& manifest, int64_t first_row, int64_t last_row,
                          const std::vector<CheckpointTensor>& tensors);
void read_checkpoint_shared(const CheckpointManifest& manifest, const std::vector<CheckpointTensor>& tensors);

}  // namespace saemill
