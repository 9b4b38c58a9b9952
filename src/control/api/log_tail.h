// A log as text: its end, and what comes after.
#pragma once

#include <memory>
#include <span>

#include "control/api/open_file.h"

namespace saemill::api {

// The last `lines` lines of files that follow each other, given with the newest first; at most `most` bytes
// are read of them, so the first line may be cut. Bytes that are no UTF-8 are replaced.
std::string log_tail(std::span<const std::shared_ptr<const OpenFile>> files, int64_t lines, int64_t most);

// Where the next part of a log begins: its end, but for a character of which only the first bytes are there.
int64_t end_of_log(const OpenFile& file);

struct LogPart {
  std::string text;
  int64_t next = 0;  // where the next one begins
};
// From `offset` on, at most `most` bytes. A log that is shorter was cut, and is read from its beginning.
LogPart log_from(const OpenFile& file, int64_t offset, int64_t most);

}  // namespace saemill::api
