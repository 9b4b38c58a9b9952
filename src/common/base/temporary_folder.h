// A folder for what a benchmark or a test writes; gone, with all that is in it, with the object. As the first
// member of a fixture it outlives what has files in it.
#pragma once

#include <stdlib.h>

#include "common/base/error.h"
#include "common/base/file.h"

namespace saemill {

struct TemporaryFolder {
  // In `parent`, by default where temporary files go. Error{retry} where it cannot be made.
  explicit TemporaryFolder(const fs::path& parent = {}) {
    std::string text = (parent.empty() ? fs::temp_directory_path() : parent) / "saemill-XXXXXX";
    if (::mkdtemp(text.data()) == nullptr) fail(ErrorCode::retry, "{}: cannot make the folder", text);
    path = fs::canonical(text);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path, error);
  }
  fs::path path;  // absolute, without links
};

}  // namespace saemill
