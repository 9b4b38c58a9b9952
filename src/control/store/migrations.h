// The schema, as numbered steps. Private to this folder.
#pragma once

#include <string>

#include "control/store/database.h"

namespace saemill {

// Brings the schema up to date, inside a write transaction; another program that starts at the same time
// waits. Error{bad_config}: it is newer than this program.
void migrate(soci::session& session, Dialect dialect, const std::string& name);

}  // namespace saemill
