#include "control/jobs/trash.h"

#include <fmt/format.h>

#include <system_error>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/protocol/checkpoint_folders.h"

namespace saemill {

Trash::Trash(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error)
    log_line(LogLevel::warning, fmt::format("{}: cannot be made: {}", folder_.string(), error.message()));
  thread_ = std::thread([this] { loop(); });
}

Trash::~Trash() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Trash::take(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path, error))) return;
  // No two of one process alike, and none like those of an earlier one.
  const auto place = folder_ / fmt::format("{}-{}-{}", static_cast<int64_t>(epoch_seconds() * 1e3), ++taken_,
                                           path.filename().string());
  std::filesystem::rename(path, place, error);
  if (error) return checkpoint_folders::discard(real_file_system(), path);
  {
    const std::lock_guard lock(mutex_);
    more_ = true;
  }
  changed_.notify_one();
}

void Trash::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (more_) {
      more_ = false;
      lock.unlock();
      clear();
      lock.lock();
    } else {
      changed_.wait(lock);
    }
  }
}

void Trash::clear() const {
  std::error_code error;
  std::vector<std::filesystem::path> all;
  for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error))
    all.push_back(at->path());
  if (error) log_line(LogLevel::warning, fmt::format("{}: {}", folder_.string(), error.message()));
  for (const auto& path : all) erase(path);
}

// File by file, so that a stop has to wait for one at most. Links are deleted, and not what they name.
void Trash::erase(const std::filesystem::path& path) const {
  std::error_code error;
  const auto is_folder = [&error](const std::filesystem::path& entry) {
    return std::filesystem::is_directory(std::filesystem::symlink_status(entry, error));
  };
  std::vector<std::filesystem::path> files;
  if (is_folder(path)) {
    std::filesystem::recursive_directory_iterator at(path, error), end;
    for (; !error && at != end; at.increment(error))
      if (!is_folder(at->path())) files.push_back(at->path());
  }
  for (const auto& file : files) {
    if (stopping_) return;
    std::filesystem::remove(file, error);
  }
  std::filesystem::remove_all(path, error);  // says what was in the way, too
  if (error) log_line(LogLevel::warning, fmt::format("{}: {}", path.string(), error.message()));
}

}  // namespace saemill
