// A disk that fails at the n-th call, for tests of what must survive a crash.
#pragma once

#include <memory>
#include <utility>

#include "common/base/error.h"
#include "common/base/file.h"

namespace saemill {

class FailingFiles : public FileSystem {
 public:
  // The n-th call (from 0) fails; with `dead` every later one does too, as after a power cut. A write that
  // fails has written half.
  FailingFiles(int n, bool dead) : n_(n), dead_(dead) {}

  bool failed() const { return failed_; }

  std::unique_ptr<OutputFile> create(const fs::path& path) override {
    step();
    return std::make_unique<File>(*this, FileSystem::create(path));
  }
  void rename(const fs::path& from, const fs::path& to) override {
    step();
    // Calls sync_folder below: renamed, but not synced, is a failure of its own.
    FileSystem::rename(from, to);
  }
  void sync_folder(const fs::path& folder) override {
    step();
    FileSystem::sync_folder(folder);
  }
  void remove_all(const fs::path& path) override {
    if (fs::exists(path)) {
      step([&] { remove_one(path); });
    }
    FileSystem::remove_all(path);
  }

 private:
  class File : public OutputFile {
   public:
    File(FailingFiles& owner, std::unique_ptr<OutputFile> file) : owner_(owner), file_(std::move(file)) {}
    void write(std::span<const std::byte> bytes) override {
      owner_.step([&] { file_->write(bytes.first(bytes.size() / 2)); });
      file_->write(bytes);
    }
    void sync() override {
      owner_.step();
      file_->sync();
    }
    void close() override {
      owner_.step();
      file_->close();
    }

   private:
    FailingFiles& owner_;
    std::unique_ptr<OutputFile> file_;
  };

  static void remove_one(const fs::path& folder) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      fs::remove(entry.path());
      return;
    }
  }

  void step() {
    step([] {});
  }
  template <typename Half>
  void step(const Half& half) {
    const int at = count_++;
    if (at == n_) half();
    if (at == n_ || (dead_ && at > n_)) {
      failed_ = true;
      fail(ErrorCode::retry, "the disk failed at call {}", at);
    }
  }

  int n_;
  bool dead_;
  int count_ = 0;
  bool failed_ = false;
};

}  // namespace saemill
