#include "control/api/served_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/error.h"

namespace saemill::api {
namespace {

bool is_served(const std::string& name) {
  return !name.empty() && name.front() != '.' && !name.ends_with(".tmp") &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

// Of a descriptor that was asked for by name: -1 is fine where there is nothing of this kind.
OwnedFd opened(int fd, std::string_view name) {
  if (fd >= 0) return OwnedFd(fd);
  for (const int absent : {ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, ENXIO})
    if (errno == absent) return OwnedFd(-1);
  fail(ErrorCode::retry, "{} cannot be opened: {}", name, std::strerror(errno));
}

std::vector<std::string> names_in(int folder) {
  // Of its own: a DIR moves the place in the folder that all copies of a descriptor share.
  OwnedFd again = opened(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "the folder");
  DIR* const entries = again ? ::fdopendir(again.get()) : nullptr;
  if (entries == nullptr) return {};
  again.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(entries)) names.emplace_back(entry->d_name);
  ::closedir(entries);
  std::sort(names.begin(), names.end());
  return names;
}

// Changes with every write, for the price of no read.
std::string etag_of(const struct stat& status) {
  return fmt::format("\"{:x}-{:x}-{:x}.{:x}\"", status.st_ino, status.st_size, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec);
}

}  // namespace

std::optional<ServedFolder> ServedFolder::open(const std::filesystem::path& run,
                                               const std::vector<std::string>& below) {
  OwnedFd folder = opened(::open(run.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "the run folder");
  for (const std::string& name : below) {
    if (!folder || !is_served(name)) return std::nullopt;
    folder =
        opened(::openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), name);
  }
  if (!folder) return std::nullopt;
  return ServedFolder(std::move(folder));
}

std::vector<ServedFile> ServedFolder::files() const {
  std::vector<ServedFile> found;
  for (const std::string& name : names_in(fd_.get())) {
    struct stat status {};
    if (!is_served(name) || ::fstatat(fd_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(status.st_mode)) found.push_back({name, status.st_size});
  }
  return found;
}

std::shared_ptr<const OpenFile> ServedFolder::open_file(const std::string& name) const {
  const auto names = names_in(fd_.get());
  if (!is_served(name) || std::find(names.begin(), names.end(), name) == names.end()) return nullptr;
  // A pipe would wait for its writer.
  OwnedFd file =
      opened(::openat(fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), name);
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return nullptr;
  return std::make_shared<OpenFile>(std::move(file), name, status.st_size, etag_of(status));
}

}  // namespace saemill::api
