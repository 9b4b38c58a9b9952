// Every configuration key, once: reading, writing, checking, overriding and the schema all go through this
// table.
#pragma once

#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "common/protocol/run_config.h"

namespace saemill {

using ConfigValue = std::variant<std::string*, int64_t*, double*, bool*>;

struct ConfigKey {
  const char* name;  // "train.lr"
  ConfigValue (*at)(RunConfig& config);
  const char* description;
  double minimum = 0;
  double maximum = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices{};  // of a text; empty: any
  const char* unit = "";
  const char* architecture = "";  // the only one that uses it; empty: all
  bool changes_results = true;    // of a resumed run
};

const std::vector<ConfigKey>& config_table();

}  // namespace saemill
