#include "common/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "common/base/error.h"
#include "common/formats/file_reader.h"

namespace saemill {
namespace {

using json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the format's own reader
constexpr size_t kBuffer = size_t{1} << 20;
constexpr const char* kDtypes = "F64, F32, F16, BF16, I64, I32, U8";

// What a damaged file holds may be megabytes or control characters; messages get its beginning, in ASCII.
std::string shown(const json& value) {
  constexpr size_t kShown = 80;
  std::string text = value.dump(-1, ' ', true);
  if (text.size() > kShown) text = text.substr(0, kShown) + "...";
  return text;
}

uint64_t header_length(std::span<const std::byte> head, uint64_t file_size, const std::string& path) {
  if (file_size < kLengthBytes || head.size() < kLengthBytes) {
    fail(ErrorCode::bad_data, "{}: has {} bytes; a safetensors file has at least 8", path, file_size);
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= static_cast<uint64_t>(head[i]) << (8 * i);
  if (length > kMaxHeader) {
    fail(ErrorCode::bad_data, "{}: header length is {}; at most {} is accepted", path, length, kMaxHeader);
  }
  if (length > file_size - kLengthBytes) {
    fail(ErrorCode::bad_data, "{}: header length is {}, but only {} bytes follow it", path, length,
         file_size - kLengthBytes);
  }
  return length;
}

json parse_object(std::string_view text, const std::string& path) {
  std::set<std::string> names;
  std::string twice;
  // nlohmann keeps the last of two equal keys without a word; two tensors of one name are damage.
  const json::parser_callback_t watch = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key && depth == 1) {
      const auto& name = value.get_ref<const std::string&>();
      if (!names.insert(name).second && twice.empty()) twice = shown(value);
    }
    return true;
  };
  json root = json::parse(text.begin(), text.end(), watch, false);
  if (root.is_discarded()) {
    fail(ErrorCode::bad_data, "{}: the header is not JSON; a JSON object of {} bytes is expected", path,
         text.size());
  }
  if (!root.is_object()) {
    fail(ErrorCode::bad_data, "{}: the header is {}; a JSON object is expected", path, shown(root));
  }
  if (!twice.empty()) {
    fail(ErrorCode::bad_data, "{}: the header names {} twice; each name may appear once", path, twice);
  }
  return root;
}

std::map<std::string, std::string> parse_metadata(const json& value, const std::string& path) {
  if (!value.is_object()) {
    fail(ErrorCode::bad_data, "{}: __metadata__ is {}; an object of strings is accepted", path, shown(value));
  }
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      fail(ErrorCode::bad_data, "{}: __metadata__ {} is {}; a string is accepted", path, shown(key),
           shown(text));
    }
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

// One tensor of the header, with the checks that need no other tensor.
class EntryParser {
 public:
  EntryParser(const std::string& name, const std::string& path) : name_(shown(name)), path_(path) {}

  // `data_begin`: where the header ends; offsets count from there.
  SafetensorsEntry parse(const json& value, uint64_t data_begin, uint64_t file_size) const {
    if (!value.is_object()) refuse("it", value, "an object with dtype, shape and data_offsets");
    SafetensorsEntry entry;
    const json& dtype = member(value, "dtype");
    if (!dtype.is_string() || safetensors_dtype_size(dtype.get_ref<const std::string&>()) == 0) {
      refuse("dtype", dtype, kDtypes);
    }
    entry.dtype = dtype.get<std::string>();
    uint64_t expected = safetensors_dtype_size(entry.dtype);
    entry.shape = parse_shape(member(value, "shape"), &expected);
    const json& offsets = member(value, "data_offsets");
    const bool pair = offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
                      offsets[1].is_number_unsigned();
    if (!pair) refuse("data_offsets", offsets, "[begin, end] of whole numbers from 0");
    const uint64_t begin = offsets[0].get<uint64_t>();
    const uint64_t end = offsets[1].get<uint64_t>();
    if (begin > end) refuse("data_offsets", offsets, "a begin that is not after the end");
    if (end > file_size - data_begin) {
      refuse("data_offsets", offsets,
             fmt::format("at most {}, the bytes of data in the file", file_size - data_begin));
    }
    if (end - begin != expected) {
      refuse("data_offsets", offsets,
             fmt::format("{} bytes, as shape {} of {} needs", expected, value["shape"].dump(), entry.dtype));
    }
    entry.begin = data_begin + begin;
    entry.bytes = expected;
    return entry;
  }

 private:
  // `bytes` comes in as the size of one element and goes out as that of all.
  std::vector<int64_t> parse_shape(const json& value, uint64_t* bytes) const {
    if (!value.is_array()) refuse("shape", value, "an array of whole numbers from 0");
    std::vector<int64_t> shape;
    uint64_t product = *bytes;
    for (const json& extent : value) {
      if (!extent.is_number_unsigned()) refuse("shape", value, "an array of whole numbers from 0");
      const uint64_t n = extent.get<uint64_t>();
      if (n > kLargest || __builtin_mul_overflow(product, n, &product) || product > kLargest) {
        refuse("shape", value, "a tensor of less than 2^63 bytes");
      }
      shape.push_back(static_cast<int64_t>(n));
    }
    *bytes = product;
    return shape;
  }

  const json& member(const json& value, const char* key) const {
    const auto found = value.find(key);
    if (found == value.end()) {
      fail(ErrorCode::bad_data, "{}: tensor {} has no {}; dtype, shape and data_offsets are needed", path_,
           name_, key);
    }
    return *found;
  }

  [[noreturn]] void refuse(const char* what, const json& found, const std::string& accepted) const {
    fail(ErrorCode::bad_data, "{}: tensor {}: {} is {}; accepted: {}", path_, name_, what, shown(found),
         accepted);
  }

  static constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  std::string name_;
  std::string path_;
};

void check_overlap(const SafetensorsHeader& header, const std::string& path) {
  std::vector<std::pair<const std::string*, const SafetensorsEntry*>> order;
  for (const auto& [name, entry] : header.tensors) {
    if (entry.bytes > 0) order.emplace_back(&name, &entry);
  }
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.second->begin < b.second->begin; });
  for (size_t i = 1; i < order.size(); ++i) {
    const SafetensorsEntry& before = *order[i - 1].second;
    if (order[i].second->begin >= before.begin + before.bytes) continue;
    fail(ErrorCode::bad_data, "{}: tensors {} and {} overlap at byte {}; each byte may belong to one tensor",
         path, shown(*order[i - 1].first), shown(*order[i].first), order[i].second->begin);
  }
}

// Collects small pieces, counts and sums what passes.
class SummingWriter {
 public:
  explicit SummingWriter(OutputFile& file) : file_(file) { buffer_.reserve(kBuffer); }

  // In pieces, so that what was summed is still in cache when it is written.
  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(bytes.size(), kBuffer));
      bytes = bytes.subspan(piece.size());
      written_.bytes += piece.size();
      written_.crc32c = crc32c(written_.crc32c, piece);
      if (buffer_.size() + piece.size() > kBuffer) flush();
      if (piece.size() == kBuffer) {
        file_.write(piece);
      } else {
        buffer_.insert(buffer_.end(), piece.begin(), piece.end());
      }
    }
  }
  void flush() {
    if (!buffer_.empty()) file_.write(buffer_);
    buffer_.clear();
  }
  const WrittenFile& written() const { return written_; }

 private:
  OutputFile& file_;
  std::vector<std::byte> buffer_;
  WrittenFile written_;
};

uint64_t tensor_bytes(const SafetensorsTensor& tensor) {
  uint64_t bytes = safetensors_dtype_size(tensor.dtype);
  ensure(bytes > 0, "safetensors: a dtype that cannot be written");
  for (const int64_t extent : tensor.shape) {
    ensure(extent >= 0, "safetensors: a negative extent");
    ensure(!__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes),
           "safetensors: shape overflow");
  }
  return bytes;
}

std::string make_header(const std::vector<SafetensorsTensor>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  if (!metadata.empty()) root["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    ensure(!root.contains(tensor.name) && tensor.name != "__metadata__", "safetensors: a name that is taken");
    const uint64_t bytes = tensor_bytes(tensor);
    root[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = root.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  ensure(text.size() <= kMaxHeader, "safetensors: the header is too long");
  return text;
}

}  // namespace

size_t safetensors_dtype_size(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  return dtype == "U8" ? 1 : 0;
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> head, uint64_t file_size,
                                           const std::string& path) {
  const uint64_t length = header_length(head, file_size, path);
  ensure(head.size() >= kLengthBytes + length, "parse_safetensors_header was given a part of the header");
  const std::string_view text(reinterpret_cast<const char*>(head.data()) + kLengthBytes, length);
  const json root = parse_object(text, path);
  SafetensorsHeader header;
  for (const auto& [name, value] : root.items()) {
    if (name == "__metadata__") {
      header.metadata = parse_metadata(value, path);
    } else {
      header.tensors[name] = EntryParser(name, path).parse(value, kLengthBytes + length, file_size);
    }
  }
  check_overlap(header, path);
  return header;
}

SafetensorsHeader read_safetensors_header(const fs::path& path) {
  const FileReader file(path);
  std::vector<std::byte> head(std::min(file.size(), kLengthBytes));
  file.read_at(0, head);
  const uint64_t length = header_length(head, file.size(), path.string());
  head.resize(kLengthBytes + length);
  file.read_at(kLengthBytes, std::span(head).subspan(kLengthBytes));
  return parse_safetensors_header(head, file.size(), path.string());
}

WrittenFile write_safetensors(FileSystem& files, const fs::path& path,
                              const std::vector<SafetensorsTensor>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  const std::string header = make_header(tensors, metadata);
  const auto file = files.create(path);
  SummingWriter writer(*file);
  std::array<std::byte, kLengthBytes> length{};
  for (size_t i = 0; i < kLengthBytes; ++i)
    length[i] = static_cast<std::byte>((header.size() >> (8 * i)) & 0xff);
  writer.write(length);
  writer.write(std::as_bytes(std::span(header)));
  for (const SafetensorsTensor& tensor : tensors) {
    const uint64_t end = writer.written().bytes + tensor_bytes(tensor);
    tensor.produce([&writer](std::span<const std::byte> bytes) { writer.write(bytes); });
    ensure(writer.written().bytes == end, "safetensors: produce() gave other bytes than the shape needs");
  }
  writer.flush();
  file->sync();
  file->close();
  return writer.written();
}

}  // namespace saemill
