// Machine events within somebody else's transaction. Private to this folder.
#pragma once

#include "control/store/machine_events.h"

namespace saemill {

// First of all in a transaction that inserts some.
void lock_machine_events(soci::session& session, Dialect dialect);
int64_t insert_machine_event(soci::session& session, const MachineEvent& event);  // its id

}  // namespace saemill
