// What a failed statement means. Private to this folder.
#pragma once

#include <soci/soci.h>

#include <string>

#include "common/base/error.h"

namespace saemill {

struct SqlFailure {
  bool lost = false;   // the connection is of no more use
  bool busy = false;   // SQLite: somebody else holds the file
  bool again = false;  // the transaction was rolled back, but would succeed if it were run again
  ErrorCode code = ErrorCode::internal;
  std::string message;  // one line, without the statement
};

SqlFailure classify(const soci::soci_error& error);

}  // namespace saemill
