// A folder below a run folder, and what of it strangers may have: regular files by their names. No link is
// followed below RUN. Names that begin with '.' or end in .tmp are not there.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "control/api/open_file.h"

namespace saemill::api {

struct ServedFile {
  std::string name;
  int64_t bytes = 0;
};

class ServedFolder {
 public:
  // RUN/below[0]/below[1]...; absent: there is none. Error{retry}: it cannot be read.
  static std::optional<ServedFolder> open(const std::filesystem::path& run,
                                          const std::vector<std::string>& below);

  std::vector<ServedFile> files() const;  // by name
  // Null: files() does not name it.
  std::shared_ptr<const OpenFile> open_file(const std::string& name) const;

 private:
  explicit ServedFolder(OwnedFd fd) : fd_(std::move(fd)) {}
  OwnedFd fd_;
};

}  // namespace saemill::api
