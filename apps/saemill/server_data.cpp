#include "server_data.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/base/version.h"
#include "control/api/secret.h"

namespace saemill {
namespace {

Fd take_lock(const fs::path& path) {
  Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) fail(ErrorCode::retry, "cannot open {}: {}", path.string(), std::strerror(errno));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t length = ::pread(lock.get(), holder, sizeof holder - 1, 0);
    fail(ErrorCode::usage, "another server{} uses {}; stop it, or give --data another folder",
         length > 0 ? fmt::format(" (pid {})", holder) : "", path.parent_path().string());
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0)
    fail(ErrorCode::retry, "cannot write {}: {}", path.string(), std::strerror(errno));
  return lock;
}

// What the file holds, or `fresh`, which is then written.
std::string kept(const fs::path& path, const std::string& fresh) {
  std::error_code error;
  if (fs::exists(path, error)) {
    std::string text = read_file(path);
    while (text.ends_with('\n')) text.pop_back();
    if (text.size() < 16)
      fail(ErrorCode::bad_data,
           "{} holds {} characters; accepted: at least 16. Remove it, and the next start makes another",
           path.string(), text.size());
    // It may have been made by hand.
    if (::chmod(path.c_str(), 0600) != 0)
      fail(ErrorCode::retry, "cannot make {} private: {}", path.string(), std::strerror(errno));
    return text;
  }
  write_file_atomically(real_file_system(), path, fresh + "\n");
  return fresh;
}

}  // namespace

ServerData::ServerData(const fs::path& folder) {
  std::error_code error;
  ::umask(077);  // all that a server writes is its owner's
  fs::create_directories(folder, error);
  if (error) fail(ErrorCode::retry, "cannot make the folder {}: {}", folder.string(), error.message());
  folder_ = fs::canonical(folder);
  lock_ = take_lock(folder_ / "server.lock");
  token_ = kept(folder_ / "token", api::random_secret());
  server_id_ = kept(folder_ / "server_id", api::random_secret().substr(0, 22));
}

ServerData::~ServerData() {
  std::error_code ignored;
  fs::remove(folder_ / "server.json", ignored);
}

void ServerData::announce(const std::string& url) {
  const nlohmann::ordered_json json{
      {"url", url}, {"pid", ::getpid()}, {"server_id", server_id_}, {"version", kVersion}};
  write_file_atomically(real_file_system(), folder_ / "server.json", json.dump() + "\n");
}

}  // namespace saemill
