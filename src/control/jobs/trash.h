// Deletes what nobody needs any more, on a thread of its own: a large checkpoint costs a disk seconds, and
// whoever holds Jobs' lock, or waits for an answer, must not.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <thread>

namespace saemill {

// Thread-safe. What is in the folder is all there is to do, so a process that ends half way leaves the rest
// to the next.
class Trash {
 public:
  // FOLDER is made, and what an earlier one left there deleted.
  explicit Trash(std::filesystem::path folder);
  ~Trash();  // waits for the file that is being deleted, not for those after it
  Trash(const Trash&) = delete;
  Trash& operator=(const Trash&) = delete;

  // PATH is gone at once, and its bytes soon after. Nothing, where there is none. What cannot be moved
  // (another file system, a disk without room for a folder's entry) is deleted before this returns.
  // Error{retry}: it is not deleted.
  void take(const std::filesystem::path& path);

 private:
  void loop();
  void clear() const;
  void erase(const std::filesystem::path& path) const;

  const std::filesystem::path folder_;
  std::mutex mutex_;  // over the next two
  std::condition_variable changed_;
  bool more_ = true;
  std::atomic<bool> stopping_ = false;
  std::atomic<int64_t> taken_ = 0;
  std::thread thread_;
};

}  // namespace saemill
