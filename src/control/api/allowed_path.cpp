#include "control/api/allowed_path.h"

#include <algorithm>

#include "control/api/problem.h"

namespace saemill::api {
namespace {

namespace fs = std::filesystem;

enum class Place { inside, missing, outside };

struct Found {
  Place place = Place::outside;
  fs::path path;  // canonical; of what is inside
};

// By components: /data/act2 is not below /data/act.
bool is_below(const fs::path& path, const std::vector<fs::path>& folders) {
  return std::any_of(folders.begin(), folders.end(), [&](const fs::path& folder) {
    return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
  });
}

// A path without "..".
Found locate_plain(const fs::path& path, const std::vector<fs::path>& folders) {
  std::error_code error;
  const fs::path resolved = fs::canonical(path, error);
  if (!error) return {is_below(resolved, folders) ? Place::inside : Place::outside, resolved};
  // What is missing has the place of the nearest that is there. A link which leads nowhere might lead
  // outside.
  fs::path there = path;
  while (!fs::exists(fs::symlink_status(there, error)) && there.has_relative_path())
    there = there.parent_path();
  const fs::path nearest = fs::canonical(there, error);
  return {!error && is_below(nearest, folders) ? Place::missing : Place::outside, {}};
}

Found locate(const fs::path& path, const std::vector<fs::path>& folders) {
  fs::path so_far;
  for (const fs::path& component : path) {
    if (component == "..") {
      // Stepping back from elsewhere into a folder would tell whether that place exists.
      const Found before = locate_plain(so_far, folders);
      if (before.place != Place::inside) return before;
      so_far = before.path.parent_path();
    } else {
      so_far /= component;
    }
  }
  return locate_plain(so_far, folders);
}

std::string join(const std::vector<fs::path>& folders) {
  std::string text;
  for (const fs::path& folder : folders) text += (text.empty() ? "" : ", ") + folder.string();
  return text;
}

[[noreturn]] void refuse(int status, const char* code, const std::string& message, const std::string& pointer,
                         const std::string& path, const std::string& accepted) {
  throw Problem(status, code, message, {{pointer, code, message, path, accepted}});
}

}  // namespace

fs::path allowed_path(const std::string& path, const std::vector<fs::path>& folders,
                      const std::string& pointer) {
  constexpr size_t kLongest = 4095;  // PATH_MAX, without its NUL
  const bool readable = !path.empty() && path.size() <= kLongest && path.find('\0') == std::string::npos;
  const std::string shown = path.substr(0, std::min(path.find('\0'), size_t{500}));
  if (!readable)
    refuse(422, "invalid_request",
           "the path is empty, has a NUL or is too long; accepted: a shard or a folder of shards", pointer,
           shown, "a shard or a folder of shards");
  bool outside = folders.empty();
  const bool absolute = fs::path(path).is_absolute();
  for (const fs::path& folder : folders) {
    const Found found = locate(absolute ? fs::path(path) : folder / path, folders);
    if (found.place == Place::inside) return found.path;
    outside = outside || found.place == Place::outside;
  }
  const std::string accepted = join(folders);
  if (!outside)
    refuse(404, "not_found", fmt::format("there is no {} in {}", shown, accepted), pointer, shown, accepted);
  refuse(403, "path_not_allowed",
         fmt::format("{} is not in a folder of activations that this server may read; accepted: {}", shown,
                     accepted.empty() ? "none" : accepted),
         pointer, shown, accepted);
}

}  // namespace saemill::api
