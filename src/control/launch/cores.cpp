#include "control/launch/cores.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <optional>
#include <string_view>

namespace saemill {
namespace {

namespace fs = std::filesystem;
using Cores = std::vector<int>;

std::string line_of(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<int> take_number(std::string_view& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

// Those of `allowed` that a list of the kernel ("0-15,64-79") names.
Cores named(std::string_view list, const Cores& allowed) {
  Cores cores;
  while (const auto first = take_number(list)) {
    int last = *first;
    if (list.starts_with('-')) {
      list.remove_prefix(1);
      last = take_number(list).value_or(last);
    }
    std::copy_if(allowed.begin(), allowed.end(), std::back_inserter(cores),
                 [&](int core) { return *first <= core && core <= last; });
    if (list.starts_with(',')) list.remove_prefix(1);
  }
  std::sort(cores.begin(), cores.end());
  return cores;
}

// The threads of each physical core; a core of which nothing is known stands alone.
std::vector<Cores> physical_cores(const Cores& cores, const fs::path& sysfs) {
  std::map<int, Cores> by_first_sibling;
  for (const int core : cores) {
    const std::string list = line_of(sysfs / "devices/system/cpu" / ("cpu" + std::to_string(core)) /
                                     "topology/thread_siblings_list");
    std::string_view text = list;
    by_first_sibling[take_number(text).value_or(core)].push_back(core);
  }
  std::vector<Cores> physical;
  for (auto& [first, threads] : by_first_sibling) physical.push_back(std::move(threads));
  return physical;
}

std::vector<Cores> divide(std::vector<Cores> units, size_t ranks) {
  std::vector<Cores> shares(ranks);
  if (units.size() < ranks) {  // too few physical cores: by thread, siblings still next to each other
    std::vector<Cores> threads;
    for (const Cores& unit : units)
      for (const int core : unit) threads.push_back({core});
    units = std::move(threads);
  }
  if (units.size() < ranks) return shares;
  for (size_t rank = 0; rank < ranks; ++rank) {
    for (size_t i = rank * units.size() / ranks; i < (rank + 1) * units.size() / ranks; ++i)
      shares[rank].insert(shares[rank].end(), units[i].begin(), units[i].end());
    std::sort(shares[rank].begin(), shares[rank].end());
  }
  return shares;
}

// The driver writes "00000000:0F:00.0", the kernel "0000:0f:00.0".
std::string name_in_sysfs(std::string pci) {
  for (char& c : pci)
    if ('A' <= c && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  const size_t domain = pci.find(':');
  if (domain == std::string::npos || domain <= 4) return pci;
  return pci.substr(std::min(pci.find_first_not_of('0'), domain - 4));
}

Cores local_cores(const JobDevice& device, const Cores& allowed, const fs::path& sysfs) {
  if (device.pci_bus_id.empty()) return {};
  return named(line_of(sysfs / "bus/pci/devices" / name_in_sysfs(device.pci_bus_id) / "local_cpulist"),
               allowed);
}

}  // namespace

std::vector<Cores> cores_of_ranks(const std::vector<JobDevice>& devices, const Cores& allowed,
                                  const fs::path& sysfs) {
  std::map<Cores, std::vector<size_t>> ranks_by_cores;
  for (size_t rank = 0; rank < devices.size(); ++rank) {
    const bool gpu = !devices[rank].uuid.empty();
    ranks_by_cores[gpu ? local_cores(devices[rank], allowed, sysfs) : allowed].push_back(rank);
  }
  std::vector<Cores> cores(devices.size());
  for (const auto& [local, ranks] : ranks_by_cores) {
    std::vector<Cores> shares = divide(physical_cores(local, sysfs), ranks.size());
    for (size_t i = 0; i < ranks.size(); ++i) cores[ranks[i]] = std::move(shares[i]);
  }
  return cores;
}

}  // namespace saemill
