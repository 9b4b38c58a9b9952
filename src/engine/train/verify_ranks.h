// Whether ranks that must hold the same bytes do: a check for those who change the exchange or the kernels.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/comm/communicator.h"

namespace saemill {

// Collective. Compares CRC-32C of each matrix over the ranks. Error{internal} on every rank that names the
// step, the matrix, and the ranks that differ from most (of equally many, from the lower ranks).
void verify_ranks(const std::vector<std::pair<std::string, View>>& state, int64_t step, Backend& backend,
                  Communicator& comm);

}  // namespace saemill
