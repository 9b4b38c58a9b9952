// What a database's URL says. Private to this folder.
#pragma once

#include <string>

#include "control/store/database.h"

namespace saemill {

struct DatabaseUrl {
  Dialect dialect = Dialect::sqlite;
  std::string name;     // the URL without its password
  std::string secret;   // the password, to be kept out of messages; empty: none
  std::string connect;  // for SOCI
};

// Error{bad_config}: another kind of URL.
DatabaseUrl parse_database_url(const std::string& url);

// `message` with the password's every occurrence blotted out: libpq quotes what it cannot parse.
std::string without_secret(std::string message, const DatabaseUrl& url);

}  // namespace saemill
