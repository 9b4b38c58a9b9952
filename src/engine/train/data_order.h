// How a training reads its activations.
#pragma once

#include <string>

#include "common/protocol/run_config.h"
#include "engine/data/activation_set.h"
#include "engine/data/order.h"

namespace saemill {

DataOrder data_order(const RunConfig& config, const ActivationSet& set);

// Why rows that are read in blocks will come from disk more than once, where so many bytes of memory are
// free: the window that is read and the next do not both fit. Empty: they do.
std::string why_windows_do_not_fit(const DataOrder& order, const ActivationSet& set, int64_t free_bytes);

}  // namespace saemill
