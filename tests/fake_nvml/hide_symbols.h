#pragma once

#include <set>
#include <string>

namespace fake_nvml {

// Makes dlsym fail for these names of this library, as it does with a driver that is older than they are.
void hide_symbols(const std::set<std::string>& names);

}  // namespace fake_nvml
