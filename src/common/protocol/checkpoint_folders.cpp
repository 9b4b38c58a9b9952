#include "common/protocol/checkpoint_folders.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>

#include "common/base/error.h"

namespace saemill {
namespace {

constexpr std::string_view kPrefix = "step-";

}  // namespace

std::string checkpoint_name(int64_t step) {
  return fmt::format("{}{:08}", kPrefix, step);
}

std::optional<int64_t> checkpoint_step(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end || step < 0) return std::nullopt;
  return step;
}

namespace checkpoint_folders {

fs::path parent(const fs::path& run) {
  return run / "checkpoints";
}

std::vector<Found> list(const fs::path& run) {
  std::vector<Found> found;
  std::error_code error;
  for (fs::directory_iterator at(parent(run), error), end; !error && at != end; at.increment(error)) {
    std::string name = at->path().filename().string();
    const bool old = name.ends_with(kOld);
    if (old) name.resize(name.size() - std::string_view(kOld).size());
    if (const auto step = checkpoint_step(name)) found.push_back({*step, old, at->path()});
  }
  if (error && error != std::errc::no_such_file_or_directory)
    fail(ErrorCode::retry, "{}: cannot be read: {}", parent(run).string(), error.message());
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return a.step != b.step ? a.step > b.step : a.old < b.old;
  });
  return found;
}

std::vector<fs::path> places(const fs::path& run, int64_t step) {
  const std::string place = (parent(run) / checkpoint_name(step)).string();
  return {place, place + kOld, place + kTemporary, place + kOld + kTemporary};
}

std::string names(const fs::path& run) {
  std::vector<std::string> all;
  for (const Found& found : list(run)) all.push_back(checkpoint_name(found.step));
  std::reverse(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all.empty() ? "none" : fmt::format("{}", fmt::join(all, ", "));
}

void discard(FileSystem& files, const fs::path& folder) {
  const fs::path aside = folder.string() + kTemporary;
  files.remove_all(aside);
  files.rename(folder, aside);
  files.remove_all(aside);
}

void discard_later(FileSystem& files, const fs::path& run, int64_t step) {
  for (const Found& found : list(run))
    if (found.step > step) discard(files, found.folder);
}

}  // namespace checkpoint_folders
}  // namespace saemill
