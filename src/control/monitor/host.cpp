#include "control/monitor/host.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/proc.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

std::string read_cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

void add_memory(HostSample& host) {
  const Memory memory = read_memory();
  host.memory_total = memory.total;
  host.memory_available = memory.available;
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kilobytes = 0, swap_free = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    if (!(fields >> key >> kilobytes)) continue;
    const int64_t bytes = kilobytes * 1024;
    if (key == "SwapTotal:") host.swap_total = bytes;
    if (key == "SwapFree:") swap_free = bytes;
  }
  host.swap_used = host.swap_total - swap_free;
}

}  // namespace

HostReader::HostReader(std::filesystem::path data) : data_(std::move(data)), cpu_name_(read_cpu_name()) {}

std::optional<double> HostReader::cpu_utilization() {
  std::ifstream file("/proc/stat");
  std::string name;
  file >> name;
  double total = 0, idle = 0, value = 0;
  for (int field = 0; field < 8 && file >> value;
       ++field) {  // user nice system idle iowait irq softirq steal
    total += value;
    if (field == 3 || field == 4) idle += value;
  }
  std::optional<double> percent;
  if (cpu_before_ && total > cpu_before_->second)
    percent = 100 * (total - idle - cpu_before_->first) / (total - cpu_before_->second);
  cpu_before_ = {total - idle, total};
  return percent;
}

DeviceRates HostReader::network(double now) {
  std::ifstream file("/proc/net/dev");
  double tx = 0, rx = 0;
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.substr(0, colon).ends_with(" lo")) continue;
    std::istringstream fields(line.substr(colon + 1));
    double value = 0;
    for (int field = 0; field < 9 && fields >> value; ++field) {
      if (field == 0) rx += value;
      if (field == 8) tx += value;
    }
  }
  DeviceRates rates;
  if (net_before_ && now > net_before_->first) {
    const auto& [time, before] = *net_before_;
    // An interface that went away takes its counter along.
    if (tx >= before.first && rx >= before.second)
      rates = {(tx - before.first) / (now - time), (rx - before.second) / (now - time)};
  }
  net_before_ = {now, {tx, rx}};
  return rates;
}

HostSample HostReader::read(double now, double epoch) {
  HostSample host;
  host.host = host_name();
  host.cpu_name = cpu_name_;
  host.cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  host.cpu_utilization = cpu_utilization();
  double load = 0;
  if (std::ifstream("/proc/loadavg") >> load) host.load = load;
  add_memory(host);
  host.network = network(now);
  host.disk_path = data_.string();
  struct statvfs disk {};
  if (::statvfs(data_.c_str(), &disk) == 0) {
    host.disk_total = static_cast<int64_t>(disk.f_blocks * disk.f_frsize);
    host.disk_free = static_cast<int64_t>(disk.f_bavail * disk.f_frsize);
  }
  host.sampled_at = epoch;
  return host;
}

nlohmann::ordered_json to_json(const HostSample& host) {
  Json cpu{{"name", host.cpu_name}, {"cores", host.cores}};
  if (host.cpu_utilization) cpu["utilization"] = *host.cpu_utilization;
  if (host.load) cpu["load"] = *host.load;
  Json network = Json::object();
  if (host.network.tx) network["tx"] = *host.network.tx;
  if (host.network.rx) network["rx"] = *host.network.rx;
  Json disk{{"path", host.disk_path}};
  if (host.disk_total) disk["total"] = *host.disk_total;
  if (host.disk_free) disk["free"] = *host.disk_free;
  return {{"host", host.host},
          {"cpu", cpu},
          {"memory",
           {{"total", host.memory_total},
            {"available", host.memory_available},
            {"used", host.memory_total - host.memory_available}}},
          {"swap", {{"total", host.swap_total}, {"used", host.swap_used}}},
          {"network", network},
          {"disk", disk},
          {"sampled_at", utc_time(host.sampled_at)}};
}

}  // namespace saemill
