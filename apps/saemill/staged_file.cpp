#include "staged_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "control/launch/fd.h"

namespace saemill {
namespace {

constexpr int kTries = 5;  // without a byte between them

class Partial {
 public:
  explicit Partial(const fs::path& path)
      : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
    struct stat info {};
    if (!fd_ || ::fstat(fd_.get(), &info) != 0) refuse(ErrorCode::usage, "cannot be written");
    bytes_ = info.st_size;
  }

  int64_t bytes() const { return bytes_; }

  void append(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) refuse(ErrorCode::retry, "cannot be written");
      bytes.remove_prefix(static_cast<size_t>(n));
      bytes_ += n;
    }
  }

  void begin_anew() {
    if (::ftruncate(fd_.get(), 0) != 0) refuse(ErrorCode::retry, "cannot be emptied");
    bytes_ = 0;
  }

  void sync() {
    if (::fsync(fd_.get()) != 0) refuse(ErrorCode::retry, "cannot be synced");
  }

 private:
  [[noreturn]] void refuse(ErrorCode code, const char* what) const {
    fail(code, "{} {}: {}", path_.string(), what, std::strerror(errno));
  }

  fs::path path_;
  Fd fd_;
  int64_t bytes_ = 0;
};

// On stderr, in place, a few times a second.
class ProgressLine {
 public:
  explicit ProgressLine(const RemoteFile& file) : file_(file), shown_(::isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() {
    if (last_ > 0) std::fputs("\r\x1b[K", stderr);
  }
  void at(int64_t bytes) {
    if (!shown_ || monotonic_seconds() < last_ + 0.2) return;
    last_ = monotonic_seconds();
    const double mb = static_cast<double>(bytes) / 1e6, all = static_cast<double>(file_.bytes) / 1e6;
    std::fprintf(stderr, "\r%s  %.0f of %.0f MB\x1b[K", file_.name.c_str(), mb, all);
  }

 private:
  const RemoteFile& file_;
  bool shown_;
  double last_ = 0;
};

}  // namespace

RemoteFile look_at(TrainingsClient& client, const std::string& target, const std::string& name) {
  const net::Answer answer = client.http().request("HEAD", target);
  if (!answer.ok()) throw net::AnswerError(client.url(), answer);
  return {target, name, std::atoll(answer.header("Content-Length").c_str()), answer.header("ETag")};
}

std::string staged_name(const RemoteFile& file) {
  std::string tag = file.etag;
  std::erase_if(tag, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-'; });
  return file.name + "." + tag;
}

void fetch(TrainingsClient& client, const RemoteFile& file, const fs::path& path) {
  Partial partial(path);
  if (partial.bytes() > file.bytes) partial.begin_anew();
  ProgressLine progress(file);
  for (int tries = 1; partial.bytes() < file.bytes;) {
    const int64_t before = partial.bytes();
    try {
      client.http().download(file.target, before, file.etag, [&](std::string_view bytes) {
        partial.append(bytes);
        progress.at(partial.bytes());
      });
    } catch (const Error& error) {
      tries = partial.bytes() > before ? 1 : tries + 1;
      if (error.code() != ErrorCode::retry || tries > kTries) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  }
  partial.sync();
}

bool same_content(const fs::path& a, const fs::path& b) {
  std::ifstream left(a, std::ios::binary), right(b, std::ios::binary);
  std::string one(1 << 20, '\0'), other(1 << 20, '\0');
  while (left && right) {
    left.read(one.data(), static_cast<std::streamsize>(one.size()));
    right.read(other.data(), static_cast<std::streamsize>(other.size()));
    const auto count = static_cast<size_t>(left.gcount());
    if (left.gcount() != right.gcount() || std::memcmp(one.data(), other.data(), count) != 0) return false;
    if (left.eof() && right.eof()) return true;
  }
  return false;
}

}  // namespace saemill
