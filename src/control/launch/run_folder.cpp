#include "control/launch/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "common/base/error.h"
#include "common/base/file.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(ErrorCode::retry, "{}: cannot make the folder: {}", path.string(), error.message());
}

bool holds_run(const fs::path& path) {
  std::error_code error;
  return fs::exists(path / "config.json", error) || fs::exists(path / "events.jsonl", error);
}

void check_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    fail(ErrorCode::bad_config,
         "name: '{}' cannot name a run folder; accepted: a file name, or give --out DIR", name);
  }
}

int64_t integer_or(const Json& object, const char* key, int64_t otherwise) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number_integer() ? it->get<int64_t>() : otherwise;
}

}  // namespace

RunFolder RunFolder::create_numbered(const fs::path& parent, const std::string& name) {
  check_name(name);
  make_folders(parent);
  for (int number = 1; number < 100000; ++number) {
    const fs::path path = fs::absolute(parent / (number == 1 ? name : fmt::format("{}-{}", name, number)));
    if (::mkdir(path.c_str(), 0777) == 0) {  // the one that makes it owns it
      RunFolder folder(path);
      folder.take_lock();
      return folder;
    }
    if (errno != EEXIST) {
      fail(ErrorCode::retry, "{}: cannot make the folder: {}", path.string(), std::strerror(errno));
    }
  }
  fail(ErrorCode::usage, "{}/{}: too many runs of that name; give --out DIR", parent.string(), name);
}

RunFolder RunFolder::open(const fs::path& path, bool resume) {
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_directory(path, error)) {
    fail(ErrorCode::usage, "--out {}: not a folder; accepted: a new folder or, with --resume, that of a run",
         path.string());
  }
  const bool known = holds_run(path);
  if (known && !resume) {
    fail(ErrorCode::usage, "--out {}: already holds a run; give --resume to continue it, or another folder",
         path.string());
  }
  make_folders(path);
  RunFolder folder(fs::absolute(path).lexically_normal());
  folder.take_lock();
  // Two launchers may have found the folder empty; the second has the lock only after the first is gone.
  if (!resume && holds_run(path)) {
    fail(ErrorCode::usage, "--out {}: holds a run by now; give --resume to continue it", path.string());
  }
  return folder;
}

void RunFolder::take_lock() {
  const fs::path path = path_ / "lock";
  lock_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock_) fail(ErrorCode::retry, "{}: cannot open: {}", path.string(), std::strerror(errno));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK) {
    fail(ErrorCode::usage, "{}: another saemill is running this job; stop it first, or give another --out",
         path_.string());
  }
  fail(ErrorCode::retry, "{}: cannot lock: {}", path.string(), std::strerror(errno));
}

fs::path RunFolder::log_path(int rank) const {
  return path_ / "logs" / fmt::format("rank-{}.log", rank);
}

bool RunFolder::finished() const {
  std::error_code error;
  if (!fs::exists(path_ / "exit.json", error)) return false;
  const Json exit = Json::parse(read_file(path_ / "exit.json"), nullptr, false);
  return exit.is_object() && integer_or(exit, "code", -1) == 0 &&
         fs::exists(path_ / "sae" / "cfg.json", error);
}

EventHistory RunFolder::history() const {
  EventHistory history;
  std::ifstream file(events_path());
  std::string line;
  while (std::getline(file, line)) {
    const Json event = Json::parse(line, nullptr, false);
    if (event.is_object()) history.add(event);
  }
  return history;
}

void EventHistory::add(const Json& event) {
  last_attempt = std::max(last_attempt, integer_or(event, "attempt", 0));
  const int64_t step = integer_or(event, "step", -1);
  const auto kind = event.find("event");
  const bool rewind = kind != event.end() && *kind == "rewind";
  last_step = rewind ? step : std::max(last_step, step);
  if (rewind && last_checkpoint > step) last_checkpoint = -1;
  if (rewind) {
    const auto chosen = event.find("chosen");
    chosen_step = chosen != event.end() && *chosen == true ? step : -1;
  } else if (step > chosen_step) {
    chosen_step = -1;
  }
  if (kind != event.end() && *kind == "checkpoint") last_checkpoint = step;
}

void RunFolder::begin(const Json& config) {
  make_folders(path_ / "logs");
  real_file_system().remove_all(path_ / "exit.json");
  write_file_atomically(real_file_system(), config_path(), config.dump(2) + "\n");
}

void RunFolder::write_status(const Json& status) const {
  // Renamed into place but not synced: it is only worth anything while this process lives, and a full disk
  // must not end a training for its sake.
  const fs::path path = path_ / "status.json";
  const fs::path beside = path_ / "status.json.tmp";
  std::error_code error;
  std::ofstream file(beside, std::ios::trunc);
  file << status.dump() << '\n';
  if (file.flush()) {
    fs::rename(beside, path, error);
    if (!error) return;
  }
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);  // now; that needs no room
}

void RunFolder::write_exit(const Json& exit) const {
  write_file_atomically(real_file_system(), path_ / "exit.json", exit.dump() + "\n");
}

std::string tail_of(const fs::path& path, int64_t offset, int count) {
  constexpr int64_t kMost = 8 * 1024;
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const int64_t size = file.tellg();
  const int64_t begin = std::max(offset, size - kMost);
  if (begin >= size) return {};
  std::string text(static_cast<size_t>(size - begin), '\0');
  file.seekg(begin);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  while (text.ends_with('\n')) text.pop_back();
  size_t from = text.size();
  for (int line = 0; line < count && from != std::string::npos; ++line) {
    from = from == 0 ? std::string::npos : text.rfind('\n', from - 1);
  }
  return from == std::string::npos ? text : text.substr(from + 1);
}

}  // namespace saemill
