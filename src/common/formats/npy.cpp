#include "common/formats/npy.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>

#include "common/base/error.h"
#include "common/formats/file_reader.h"

namespace saemill {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kVersionEnd = 8;  // magic, major, minor

// What a damaged file holds may be long or unprintable; messages get its beginning, in ASCII.
std::string shown(std::string_view text) {
  constexpr size_t kShown = 80;
  std::string out(text.substr(0, kShown));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text.size() > kShown ? out + "..." : out;
}

// Reads the one kind of Python expression that the format allows: a dictionary with descr, fortran_order and
// shape.
class DictionaryParser {
 public:
  DictionaryParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  void parse() {
    expect('{');
    while (!take('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        parse_descr();
      } else if (key == "fortran_order") {
        parse_order();
      } else if (key == "shape") {
        parse_shape();
      } else {
        refuse("key '" + shown(key) + "'", "descr, fortran_order and shape");
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) refuse("'" + shown(text_.substr(at_)) + "' after the header", "nothing there");
    if (dtype_.empty()) refuse("no descr", "'<f2' or '<f4'");
    if (!ordered_) refuse("no fortran_order", "False");
    if (!shape_) refuse("no shape", "a tuple of two or three numbers");
  }

  const std::string& dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return *shape_; }

 private:
  void parse_descr() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[') {
      refuse("a structured descr " + shown(text_.substr(at_)), "'<f2' or '<f4'");
    }
    const std::string descr = string();
    if (descr != "<f2" && descr != "<f4") refuse("descr '" + shown(descr) + "'", "'<f2' or '<f4'");
    dtype_ = descr == "<f2" ? "F16" : "F32";
  }

  void parse_order() {
    skip_space();
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("True")) refuse("fortran_order True", "False: rows must lie one after another");
    if (!rest.starts_with("False")) refuse("fortran_order '" + shown(rest) + "'", "False");
    at_ += 5;
    ordered_ = true;
  }

  void parse_shape() {
    skip_space();
    const size_t begin = at_;
    std::vector<int64_t> shape;
    expect('(');
    while (!take(')')) {
      shape.push_back(number());
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    if (shape.size() != 2 && shape.size() != 3) {
      refuse("shape " + shown(text_.substr(begin, at_ - begin)), "two or three dimensions");
    }
    shape_ = std::move(shape);
  }

  int64_t number() {
    skip_space();
    const size_t begin = at_;
    int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      const bool overflow = __builtin_mul_overflow(value, 10, &value) ||
                            __builtin_add_overflow(value, text_[at_] - '0', &value);
      if (overflow) refuse("extent " + shown(text_.substr(begin)), "extents below 2^63");
      ++at_;
    }
    if (at_ == begin) refuse("extent '" + shown(text_.substr(begin)) + "'", "whole numbers from 0");
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // as Python 2 wrote them
    return value;
  }

  std::string string() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') refuse("'" + shown(text_.substr(at_)) + "'", "a quoted string");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) refuse("a string without its end", "a quoted string");
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }

  bool take(char c) {
    skip_space();
    const bool found = at_ < text_.size() && text_[at_] == c;
    if (found) ++at_;
    return found;
  }

  void expect(char c) {
    if (!take(c)) refuse("'" + shown(text_.substr(at_)) + "'", std::string("'") + c + "'");
  }

  [[noreturn]] void refuse(const std::string& found, const std::string& accepted) const {
    fail(ErrorCode::bad_data, "{}: the .npy header has {}; accepted: {}", path_, found, accepted);
  }

  std::string_view text_;
  const std::string& path_;
  size_t at_ = 0;
  std::string dtype_;
  bool ordered_ = false;
  std::optional<std::vector<int64_t>> shape_;
};

uint64_t little_endian(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return value;
}

// Where the dictionary lies: [begin, end) of the file.
struct Extent {
  uint64_t begin = 0, end = 0;
};

Extent find_dictionary(std::span<const std::byte> head, uint64_t file_size, const std::string& path) {
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  if (text.size() < kVersionEnd) {
    fail(ErrorCode::bad_data, "{}: has {} bytes; a .npy file has at least 10", path, file_size);
  }
  if (!text.starts_with(kMagic)) {
    fail(ErrorCode::bad_data, "{}: starts with '{}'; a .npy file starts with '\\x93NUMPY'", path,
         shown(text.substr(0, kMagic.size())));
  }
  const int major = static_cast<int>(head[6]);
  if (major < 1 || major > 3) {
    fail(ErrorCode::bad_data, "{}: is .npy version {}.{}; versions 1, 2 and 3 are accepted", path, major,
         static_cast<int>(head[7]));
  }
  const size_t begin = kVersionEnd + (major == 1 ? 2 : 4);
  if (head.size() < begin) {
    fail(ErrorCode::bad_data, "{}: has {} bytes; the .npy header starts at byte {}", path, file_size, begin);
  }
  const uint64_t length = little_endian(head.subspan(kVersionEnd, begin - kVersionEnd));
  if (length > kNpyMaxHead - begin) {
    fail(ErrorCode::bad_data, "{}: the .npy header length is {}; at most {} is accepted", path, length,
         kNpyMaxHead - begin);
  }
  if (length > file_size - begin) {
    fail(ErrorCode::bad_data, "{}: the .npy header length is {}, but only {} bytes follow it", path, length,
         file_size - begin);
  }
  return {begin, begin + length};
}

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> head, uint64_t file_size, const std::string& path) {
  const Extent extent = find_dictionary(head, file_size, path);
  ensure(head.size() >= extent.end, "parse_npy_header was given a part of the header");
  const char* text = reinterpret_cast<const char*>(head.data());
  DictionaryParser parser(std::string_view(text + extent.begin, extent.end - extent.begin), path);
  parser.parse();
  NpyHeader header{parser.dtype(), parser.shape(), extent.end, parser.dtype() == "F16" ? 2u : 4u};
  for (const int64_t n : header.shape) {
    const bool overflow =
        __builtin_mul_overflow(header.data_bytes, static_cast<uint64_t>(n), &header.data_bytes);
    if (overflow || header.data_bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      fail(ErrorCode::bad_data, "{}: shape [{}] has 2^63 bytes or more; less is accepted", path,
           fmt::join(header.shape, ", "));
    }
  }
  if (header.data_bytes > file_size - extent.end) {
    fail(ErrorCode::bad_data, "{}: shape [{}] of {} needs {} bytes of data; the file has {}", path,
         fmt::join(header.shape, ", "), header.dtype, header.data_bytes, file_size - extent.end);
  }
  return header;
}

NpyHeader read_npy_header(const std::filesystem::path& path) {
  const FileReader file(path);
  std::vector<std::byte> head(std::min(file.size(), kNpyMaxHead));
  file.read_at(0, head);
  return parse_npy_header(head, file.size(), path.string());
}

}  // namespace saemill
