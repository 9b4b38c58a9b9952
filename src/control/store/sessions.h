// sessions: browsers that are signed in. The store holds digests only: who reads the database cannot sign in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/store/database.h"

namespace saemill {

struct SessionRow {
  std::string digest;  // SHA-256 of the cookie's value, in hex
  std::string server_id;
  int64_t created_at = 0, expires_at = 0;  // epoch seconds
};

// Thread-safe.
class Sessions {
 public:
  explicit Sessions(Database& database) : database_(database) {}

  // A digest that is there already gets the new time of expiry.
  void add(const SessionRow& row);
  void remove(const std::string& digest);
  // Of this server, those that have not expired (now < expires_at), oldest first; deletes the expired ones of
  // all servers.
  std::vector<SessionRow> live(const std::string& server_id, int64_t now);

 private:
  Database& database_;
};

}  // namespace saemill
