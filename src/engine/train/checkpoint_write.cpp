#include <algorithm>
#include <tuple>

#include "common/base/error.h"
#include "common/formats/safetensors.h"
#include "engine/train/checkpoint.h"
#include "engine/train/checkpoint_manifest.h"

namespace saemill {

namespace folders = checkpoint_folders;
using nlohmann::json;

namespace {

fs::path with_suffix(const fs::path& folder, const char* suffix) {
  return folder.string() + suffix;
}

fs::path temporary_folder(const fs::path& run, int64_t step) {
  return with_suffix(folders::parent(run) / checkpoint_name(step), folders::kTemporary);
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(ErrorCode::retry, "{}: cannot make the folder: {}", folder.string(), error.message());
}

CheckpointFile write_part(FileSystem& files, const fs::path& folder, CheckpointFile part,
                          const std::vector<CheckpointTensor>& tensors, bool rows) {
  std::vector<SafetensorsTensor> list;
  for (const CheckpointTensor& tensor : tensors) {
    const int64_t count = rows ? part.last_row - part.first_row : 1;
    const size_t bytes = static_cast<size_t>(count * tensor.columns) * safetensors_dtype_size(tensor.dtype);
    const std::span<const std::byte> data(tensor.data, bytes);
    list.push_back({tensor.name, tensor.dtype,
                    rows ? std::vector<int64_t>{count, tensor.columns} : std::vector<int64_t>{tensor.columns},
                    [data](const auto& sink) { sink(data); }});
  }
  const WrittenFile written = write_safetensors(files, folder / part.name, list);
  part.bytes = written.bytes;
  part.crc32c = written.crc32c;
  return part;
}

// The parts in row order. Rows must follow one another from 0: a checkpoint with a hole is no checkpoint.
std::vector<CheckpointFile> in_row_order(std::vector<CheckpointFile> parts) {
  std::erase_if(parts, [](const CheckpointFile& part) { return part.name.empty(); });
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first_row, a.last_row, a.name) < std::tie(b.first_row, b.last_row, b.name);
  });
  int64_t next_row = 0;
  for (const CheckpointFile& part : parts) {
    if (part.last_row == 0) continue;
    ensure(part.first_row == next_row, "publish_checkpoint: the rows of the parts leave a gap or overlap");
    next_row = part.last_row;
  }
  return parts;
}

uint64_t write_manifest(FileSystem& files, const fs::path& path, int64_t step,
                        const std::vector<CheckpointFile>& parts, const json& state) {
  json list = json::array();
  uint64_t total = 0;
  for (const CheckpointFile& part : parts) {
    list.push_back({{"name", part.name},
                    {"bytes", part.bytes},
                    {"crc32c", part.crc32c},
                    {"first_row", part.first_row},
                    {"last_row", part.last_row}});
    total += part.bytes;
  }
  json manifest = {{"format", folders::kFormat},
                   {"version", folders::kVersion},
                   {"step", step},
                   {"files", std::move(list)},
                   {"state", state}};
  manifest["crc32c"] = folders::checksum(manifest);
  const std::string text = manifest.dump(2) + "\n";
  const auto file = files.create(path);
  file->write(std::as_bytes(std::span(text)));
  file->sync();
  file->close();
  return total + text.size();
}

}  // namespace

// What an interrupted run left half written goes here, whatever its step: it may never reach that step again.
fs::path begin_checkpoint(FileSystem& files, const fs::path& run, int64_t step) {
  const fs::path parent = folders::parent(run);
  const bool first = !is_there(parent);
  make_folder(parent);
  if (first) files.sync_folder(run);
  std::vector<fs::path> stale;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(folders::kTemporary)) stale.push_back(entry.path());
  }
  if (error) fail(ErrorCode::retry, "{}: cannot be listed: {}", parent.string(), error.message());
  for (const fs::path& path : stale) files.remove_all(path);
  const fs::path folder = temporary_folder(run, step);
  make_folder(folder);
  return folder;
}

CheckpointFile write_checkpoint_rows(FileSystem& files, const fs::path& folder, int64_t first_row,
                                     int64_t last_row, const std::vector<CheckpointTensor>& tensors) {
  ensure(first_row >= 0 && first_row <= last_row, "write_checkpoint_rows: the row range is reversed");
  if (first_row == last_row) return {};
  CheckpointFile part{fmt::format("rows-{:08}-{:08}.safetensors", first_row, last_row), 0, 0, first_row,
                      last_row};
  return write_part(files, folder, std::move(part), tensors, true);
}

CheckpointFile write_checkpoint_shared(FileSystem& files, const fs::path& folder,
                                       const std::vector<CheckpointTensor>& tensors) {
  return write_part(files, folder, {"shared.safetensors", 0, 0, 0, 0}, tensors, false);
}

uint64_t publish_checkpoint(FileSystem& files, const fs::path& run, int64_t step,
                            const std::vector<CheckpointFile>& parts, const json& state) {
  const fs::path folder = temporary_folder(run, step);
  const uint64_t total = write_manifest(files, folder / folders::kManifest, step, in_row_order(parts), state);
  files.sync_folder(folder);

  const fs::path place = folders::parent(run) / checkpoint_name(step);
  const fs::path old = with_suffix(place, folders::kOld);
  const bool taken = is_there(place);
  if (taken && is_there(old)) folders::discard(files, old);
  if (taken) files.rename(place, old);
  files.rename(folder, place);
  if (is_there(old)) folders::discard(files, old);
  return total;
}

void abandon_checkpoint(FileSystem& files, const fs::path& run, int64_t step) {
  files.remove_all(temporary_folder(run, step));
}

// What cannot be read back does not count as kept, so damage never costs the last good checkpoint. Only
// manifests and sizes are looked at: reading every byte again would cost as much as the checkpoint.
void remove_old_checkpoints(FileSystem& files, const fs::path& run, int64_t keep_last, int64_t newest) {
  ensure(keep_last >= 1, "remove_old_checkpoints: at least one is kept");
  int64_t kept = 0;
  for (const folders::Found& found : folders::list(run)) {
    if (kept >= keep_last || found.step > newest) {
      folders::discard(files, found.folder);
      continue;
    }
    try {
      for (const CheckpointFile& part : read_manifest(found.folder).parts) {
        std::error_code error;
        const auto size = fs::file_size(found.folder / part.name, error);
        if (error || size != part.bytes) {
          fail(ErrorCode::bad_data, "{}: is incomplete", (found.folder / part.name).string());
        }
      }
      if (!found.old) ++kept;
    } catch (const Error&) {
      continue;  // newest_valid_checkpoint says what is wrong with it, to whoever resumes
    }
  }
}

}  // namespace saemill
