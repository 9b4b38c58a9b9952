#include "control/api/log_tail.h"

#include <algorithm>
#include <vector>

#include "control/api/http.h"

namespace saemill::api {
namespace {

// Blocks from the end on, until they hold more line ends than are wanted.
std::string last_bytes(std::span<const std::shared_ptr<const OpenFile>> files, int64_t lines, int64_t most) {
  constexpr int64_t kBlock = 65536;
  std::vector<std::string> blocks;  // the last first
  int64_t found = 0;
  for (const auto& file : files) {
    for (int64_t end = file->size(); end > 0 && most > 0 && found <= lines;) {
      const int64_t size = std::min({kBlock, end, most});
      end -= size, most -= size;
      std::string block(static_cast<size_t>(size), '\0');
      block.resize(file->read(end, block));
      found += std::count(block.begin(), block.end(), '\n');
      blocks.push_back(std::move(block));
    }
  }
  std::string text;
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) text += *block;
  return text;
}

// Where the last `lines` lines begin.
size_t begin_of(const std::string& text, int64_t lines) {
  size_t begin = text.ends_with('\n') ? text.size() - 1 : text.size();
  for (int64_t i = 0; i < lines; ++i) {
    const size_t end_before = begin == 0 ? std::string::npos : text.rfind('\n', begin - 1);
    if (end_before == std::string::npos) return 0;
    begin = end_before;
  }
  return begin + 1;
}

std::string as_utf8(const std::string& bytes) {
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

// How many bytes at the end are the beginning of a character of UTF-8, and not all of it.
size_t unfinished(const std::string& bytes) {
  for (size_t count = 1; count <= std::min<size_t>(3, bytes.size()); ++count) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - count]);
    const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    if ((byte & 0xc0) != 0x80) return length > count ? count : 0;
  }
  return 0;
}

std::string bytes_of(const OpenFile& file, int64_t begin, int64_t end) {
  std::string bytes(static_cast<size_t>(end - begin), '\0');
  bytes.resize(file.read(begin, bytes));
  return bytes;
}

}  // namespace

int64_t end_of_log(const OpenFile& file) {
  const std::string last = bytes_of(file, std::max<int64_t>(0, file.size() - 3), file.size());
  return file.size() - static_cast<int64_t>(unfinished(last));
}

LogPart log_from(const OpenFile& file, int64_t offset, int64_t most) {
  const int64_t begin = offset > file.size() ? 0 : offset;
  std::string bytes = bytes_of(file, begin, std::min(file.size(), begin + most));
  bytes.resize(bytes.size() - unfinished(bytes));
  return {as_utf8(bytes), begin + static_cast<int64_t>(bytes.size())};
}

std::string log_tail(std::span<const std::shared_ptr<const OpenFile>> files, int64_t lines, int64_t most) {
  std::string text = last_bytes(files, lines, most);
  text.erase(0, begin_of(text, lines));
  return as_utf8(text);
}

}  // namespace saemill::api
