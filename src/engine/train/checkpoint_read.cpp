#include <algorithm>
#include <limits>

#include "common/base/error.h"
#include "common/formats/file_reader.h"
#include "common/formats/safetensors.h"
#include "engine/train/checkpoint.h"
#include "engine/train/checkpoint_manifest.h"

namespace saemill {

namespace folders = checkpoint_folders;
using nlohmann::json;

namespace {

constexpr uint64_t kMaxManifest = uint64_t{64} << 20;

// The members of one JSON object of the manifest, each with what is accepted.
class Members {
 public:
  Members(const json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) fail(ErrorCode::bad_data, "{}: found no JSON object where one is needed", path_);
  }

  int64_t whole(const char* key) const {
    const json& value = get(key);
    const bool fits = value.is_number_unsigned() &&
                      value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (!fits) refuse(key, value, "a whole number from 0");
    return value.get<int64_t>();
  }

  uint32_t whole32(const char* key) const {
    const int64_t value = whole(key);
    if (value > std::numeric_limits<uint32_t>::max()) refuse(key, get(key), "a number of 32 bits");
    return static_cast<uint32_t>(value);
  }

  std::string text(const char* key) const {
    const json& value = get(key);
    if (!value.is_string()) refuse(key, value, "a string");
    return value.get<std::string>();
  }

  const json& get(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) fail(ErrorCode::bad_data, "{}: has no \"{}\"", path_, key);
    return *found;
  }

  [[noreturn]] void refuse(const char* key, const json& value, const std::string& accepted) const {
    fail(ErrorCode::bad_data, "{}: \"{}\" is {}; accepted: {}", path_, key,
         value.dump(-1, ' ', true).substr(0, 80), accepted);
  }

 private:
  const json& object_;
  std::string path_;
};

CheckpointFile parse_part(const json& value, const std::string& path) {
  const Members members(value, path);
  CheckpointFile part;
  part.name = members.text("name");
  // The names are opened: one that leads out of the folder is refused.
  const bool plain = !part.name.empty() && part.name != "." && part.name != ".." &&
                     part.name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
  if (!plain) members.refuse("name", members.get("name"), "the name of a file in the checkpoint's folder");
  part.bytes = static_cast<uint64_t>(members.whole("bytes"));
  part.crc32c = members.whole32("crc32c");
  part.first_row = members.whole("first_row");
  part.last_row = members.whole("last_row");
  if (part.first_row > part.last_row)
    members.refuse("last_row", members.get("last_row"), "first_row or more");
  return part;
}

void check_rows(const std::vector<CheckpointFile>& parts, const std::string& path) {
  int64_t next_row = 0;
  for (const CheckpointFile& part : parts) {
    if (part.last_row == 0) continue;
    if (part.first_row != next_row) {
      fail(ErrorCode::bad_data, "{}: file {} starts at row {}; row {} is expected", path, part.name,
           part.first_row, next_row);
    }
    next_row = part.last_row;
  }
}

// The entry of a tensor, of the wanted type and shape.
SafetensorsEntry find_entry(const SafetensorsHeader& header, const CheckpointTensor& tensor,
                            const std::vector<int64_t>& shape, const std::string& path) {
  const auto found = header.tensors.find(tensor.name);
  if (found == header.tensors.end()) {
    std::vector<std::string> names;
    for (const auto& [name, entry] : header.tensors) names.push_back(name);
    fail(ErrorCode::bad_data, "{}: has the tensors {}; {} is expected", path, fmt::join(names, ", "),
         tensor.name);
  }
  const SafetensorsEntry& entry = found->second;
  if (entry.dtype != tensor.dtype || entry.shape != shape) {
    fail(ErrorCode::bad_data, "{}: tensor {} is {} [{}]; {} [{}] is expected", path, tensor.name, entry.dtype,
         fmt::join(entry.shape, ", "), tensor.dtype, fmt::join(shape, ", "));
  }
  return entry;
}

}  // namespace

std::vector<int64_t> checkpoint_steps(const fs::path& run) {
  std::vector<int64_t> steps;
  for (const folders::Found& found : folders::list(run)) steps.push_back(found.step);
  std::reverse(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  return steps;
}

uint32_t folders::checksum(json manifest) {
  manifest.erase("crc32c");
  const std::string text = manifest.dump();
  return crc32c(0, std::as_bytes(std::span(text)));
}

CheckpointManifest read_manifest(const fs::path& checkpoint_folder) {
  const fs::path path = checkpoint_folder / folders::kManifest;
  const FileReader file(path);
  if (file.size() > kMaxManifest) {
    fail(ErrorCode::bad_data, "{}: has {} bytes; at most {} are accepted", path.string(), file.size(),
         kMaxManifest);
  }
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  const json root = json::parse(text, nullptr, false);
  if (root.is_discarded()) {
    fail(ErrorCode::bad_data, "{}: is not JSON; a manifest of {} version {} is accepted", path.string(),
         folders::kFormat, folders::kVersion);
  }
  const Members members(root, path.string());
  if (members.text("format") != folders::kFormat) {
    members.refuse("format", members.get("format"), folders::kFormat);
  }
  if (members.whole("version") != folders::kVersion) {
    members.refuse("version", members.get("version"), fmt::to_string(folders::kVersion));
  }
  const uint32_t expected = members.whole32("crc32c");
  const uint32_t found = folders::checksum(root);
  if (found != expected) {
    fail(ErrorCode::bad_data, "{}: its content has CRC-32C {:08x}; {:08x} is expected", path.string(), found,
         expected);
  }
  CheckpointManifest manifest{members.whole("step"), {}, members.get("state"), checkpoint_folder};
  const json& list = members.get("files");
  if (!list.is_array()) members.refuse("files", list, "a list of files");
  for (const json& part : list) manifest.parts.push_back(parse_part(part, path.string()));
  check_rows(manifest.parts, path.string());
  return manifest;
}

void verify_checkpoint(const CheckpointManifest& manifest) {
  std::vector<std::byte> buffer(size_t{4} << 20);
  for (const CheckpointFile& part : manifest.parts) {
    const FileReader file(manifest.folder / part.name);
    if (file.size() != part.bytes) {
      fail(ErrorCode::bad_data, "{}: has {} bytes; {} are expected", file.path().string(), file.size(),
           part.bytes);
    }
    uint32_t found = 0;
    for (uint64_t at = 0; at < part.bytes; at += buffer.size()) {
      const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), part.bytes - at));
      file.read_at(at, piece);
      found = crc32c(found, piece);
    }
    if (found != part.crc32c) {
      fail(ErrorCode::bad_data, "{}: has CRC-32C {:08x}; {:08x} is expected", file.path().string(), found,
           part.crc32c);
    }
  }
}

std::optional<CheckpointManifest> newest_valid_checkpoint(const fs::path& run,
                                                          std::vector<std::string>* warnings,
                                                          int64_t at_most) {
  for (const folders::Found& found : folders::list(run)) {
    if (found.step > at_most) continue;
    try {
      CheckpointManifest manifest = read_manifest(found.folder);
      if (manifest.step != found.step) {
        fail(ErrorCode::bad_data, "{}: holds step {}; step {} is expected from its name",
             found.folder.string(), manifest.step, found.step);
      }
      verify_checkpoint(manifest);
      return manifest;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_data) throw;
      if (warnings) {
        warnings->push_back(fmt::format("The checkpoint {} is damaged and was skipped: {}.",
                                        found.folder.filename().string(), error.what()));
      }
    }
  }
  return std::nullopt;
}

void read_checkpoint_rows(const CheckpointManifest& manifest, int64_t first_row, int64_t last_row,
                          const std::vector<CheckpointTensor>& tensors) {
  ensure(first_row >= 0 && first_row <= last_row, "read_checkpoint_rows: the row range is reversed");
  int64_t next_row = first_row;  // parts lie in row order without gaps
  for (const CheckpointFile& part : manifest.parts) {
    const int64_t begin = std::max(first_row, part.first_row);
    const int64_t end = std::min(last_row, part.last_row);
    if (begin >= end) continue;
    const FileReader file(manifest.folder / part.name);
    const SafetensorsHeader header = read_safetensors_header(file.path());
    for (const CheckpointTensor& tensor : tensors) {
      const SafetensorsEntry entry =
          find_entry(header, tensor, {part.last_row - part.first_row, tensor.columns}, file.path().string());
      const uint64_t row_bytes = static_cast<uint64_t>(tensor.columns) * safetensors_dtype_size(tensor.dtype);
      std::byte* target = tensor.data + static_cast<uint64_t>(begin - first_row) * row_bytes;
      file.read_at(entry.begin + static_cast<uint64_t>(begin - part.first_row) * row_bytes,
                   {target, static_cast<uint64_t>(end - begin) * row_bytes});
    }
    next_row = end;
  }
  if (next_row != last_row) {
    fail(ErrorCode::bad_data, "{}: holds rows up to {}; rows up to {} are expected", manifest.folder.string(),
         manifest.parts.empty() ? 0 : manifest.parts.back().last_row, last_row);
  }
}

void read_checkpoint_shared(const CheckpointManifest& manifest,
                            const std::vector<CheckpointTensor>& tensors) {
  const FileReader file(manifest.folder / "shared.safetensors");
  const SafetensorsHeader header = read_safetensors_header(file.path());
  for (const CheckpointTensor& tensor : tensors) {
    const SafetensorsEntry entry = find_entry(header, tensor, {tensor.columns}, file.path().string());
    file.read_at(entry.begin, {tensor.data, entry.bytes});
  }
}

}  // namespace saemill
