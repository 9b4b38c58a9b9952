// A folder for what a benchmark writes; gone with the object.
#pragma once

#include <stdlib.h>

#include "common/base/error.h"
#include "common/base/file.h"

namespace saemill {

struct TemporaryFolder {
  // In `parent`, by default where temporary files go. Error{retry} where it cannot be made.
  explicit TemporaryFolder(const fs::path& parent = {}) {
    std::string text = (parent.empty() ? fs::temp_directory_path() : parent) / "saemill-bench-XXXXXX";
    if (::mkdtemp(text.data()) == nullptr) fail(ErrorCode::retry, "{}: cannot make the folder", text);
    path = text;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path, error);
  }
  fs::path path;
};

}  // namespace saemill
