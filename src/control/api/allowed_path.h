// Which activation files may be asked about: those below the folders of --activations, wherever links lead.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saemill::api {

// The path without links, below one of `folders` (canonical). A relative one is looked for below each in
// turn. Problem with `pointer`: 422 invalid_request (empty, or with a NUL), 403 path_not_allowed, 404
// not_found. What lies outside the folders is 403 whether it exists or not, so that nobody learns it. Who can
// write into the folders can still exchange a file after it was checked: what opens it then must not run with
// more rights than its asker has.
std::filesystem::path allowed_path(const std::string& path, const std::vector<std::filesystem::path>& folders,
                                   const std::string& pointer);

}  // namespace saemill::api
