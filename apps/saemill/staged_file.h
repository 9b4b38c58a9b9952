// One file of the server on its way here. What was fetched stays when it breaks off, and the next attempt
// goes on behind it.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/file.h"
#include "trainings_client.h"

namespace saemill {

struct RemoteFile {
  std::string target, name;
  int64_t bytes = 0;
  std::string etag;  // of these very bytes
};

RemoteFile look_at(TrainingsClient& client, const std::string& target, const std::string& name);

// Tells apart what was begun of another file of this name.
std::string staged_name(const RemoteFile& file);

// Until `path` is the whole file, on disk. A connection that is lost is made again. On a terminal it tells
// how far it is.
void fetch(TrainingsClient& client, const RemoteFile& file, const fs::path& path);

bool same_content(const fs::path& a, const fs::path& b);  // false also where one of them is not there

}  // namespace saemill
