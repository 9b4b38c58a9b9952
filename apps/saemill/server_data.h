// DATA, the folder of one server: its lock, its token, its name, and where it listens.
#pragma once

#include <filesystem>
#include <string>

#include "control/launch/fd.h"

namespace saemill {

class ServerData {
 public:
  // Makes the folder (0700) where it is missing, and takes its lock until destroyed. Error{usage}: another
  // server has it (names its pid); Error{retry}: the disk refuses.
  explicit ServerData(const std::filesystem::path& folder);
  ~ServerData();  // removes server.json
  ServerData(const ServerData&) = delete;
  ServerData& operator=(const ServerData&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  const std::string& token() const { return token_; }          // DATA/token, 0600; made at the first start
  const std::string& server_id() const { return server_id_; }  // DATA/server_id

  void announce(const std::string& url);  // DATA/server.json {url, pid, server_id, version}

 private:
  std::filesystem::path folder_;
  Fd lock_;
  std::string token_, server_id_;
};

}  // namespace saemill
