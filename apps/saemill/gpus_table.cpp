#include "gpus_table.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "common/base/text.h"

namespace saemill {
namespace {

constexpr int kBar = 10;

struct Cell {
  std::string text;
  int width;          // columns that it takes; bytes do not say, for block characters and colors
  const char* color;  // an SGR code; null: none
};

std::string padded(const std::string& text, int have, int want) {
  return text + std::string(static_cast<size_t>(std::max(0, want - have)), ' ');
}

Cell cell(const std::string& text, int width, const char* color = nullptr) {
  const std::string cut = text.substr(0, static_cast<size_t>(width));
  return {padded(cut, static_cast<int>(cut.size()), width), width, color};
}

const char* load_color(double share) {
  return share >= 0.9 ? "31" : share >= 0.5 ? "33" : "32";
}

// `share` from 0 to 1; less: not known.
Cell bar(double share, const TableStyle& style) {
  if (share < 0) return cell("", kBar);
  const int full = std::clamp(static_cast<int>(share * kBar + 0.5), share > 0.005 ? 1 : 0, kBar);
  std::string text;
  for (int i = 0; i < kBar; ++i) text += style.unicode ? (i < full ? "█" : "░") : (i < full ? "#" : ".");
  return {text, kBar, load_color(share)};
}

const char* state_color(Availability availability) {
  switch (availability) {
    case Availability::free:
      return "32";
    case Availability::leased:
      return "36";
    case Availability::foreign:
      return "33";
    case Availability::unhealthy:
    case Availability::lost:
      return "31";
    default:
      return "35";
  }
}

std::string owner(const Device& device) {
  if (device.availability == Availability::free) return "";
  if (device.availability == Availability::leased)
    return device.reason.code == "leased" ? device.current_job : device.reason.message;
  return device.reason.message;
}

double share(const std::optional<int64_t>& part, const std::optional<int64_t>& whole) {
  if (!part || !whole || *whole <= 0) return -1;  // a device without memory of its own tells no total
  return static_cast<double>(*part) / static_cast<double>(*whole);
}

std::string number(const std::optional<double>& value, const char* unit) {
  return value ? fmt::format("{:.0f}{}", *value, unit) : "-";
}

std::string memory(const Device& device) {
  if (!device.memory_used) return "-";
  constexpr double kGibibyte = 1 << 30;  // one unit in a column
  const double used = static_cast<double>(*device.memory_used) / kGibibyte;
  return device.memory_total
             ? fmt::format("{:.1f}/{:.1f} GiB", used, static_cast<double>(*device.memory_total) / kGibibyte)
             : fmt::format("{:.1f} GiB", used);
}

std::string power(const Device& device) {
  if (!device.power_draw) return "-";
  return device.power_limit ? fmt::format("{:.0f}/{:.0f} W", *device.power_draw, *device.power_limit)
                            : fmt::format("{:.0f} W", *device.power_draw);
}

std::string line(const std::vector<Cell>& cells, const TableStyle& style) {
  std::string text;
  int used = 0;
  for (const Cell& one : cells) {
    if (used + one.width > style.width) break;  // whole cells only: half a bar says something wrong
    const bool colored = style.color && one.color != nullptr;
    text += colored ? fmt::format("\x1b[{}m{}\x1b[0m ", one.color, one.text) : one.text + " ";
    used += one.width + 1;
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text + "\n";
}

std::vector<Cell> row(const Snapshot& snapshot, const Device& device, const TableStyle& style,
                      int name_width) {
  const double load = device.utilization.value_or(-1) / 100;
  const std::string why = owner(device);
  const int rest = std::max<int>(1, style.width - 88 - name_width);
  return {cell(short_name(snapshot.devices, device), 7),
          cell(device.name, name_width),
          bar(load, style),
          cell(number(device.utilization, "%"), 5),
          bar(share(device.memory_used, device.memory_total), style),
          cell(memory(device), 15),
          cell(number(device.temperature, " C"), 5),
          cell(power(device), 9),
          cell(to_string(device.availability), 11, state_color(device.availability)),
          cell(why, std::min<int>(std::max<int>(static_cast<int>(why.size()), 5), std::max(rest, 5)))};
}

std::string summary(const std::vector<Device>& devices) {
  const auto sums = aggregate(devices);
  std::string text = fmt::format("{} device{}", devices.size(), devices.size() == 1 ? "" : "s");
  for (const auto& [state, count] : sums.at("counts").items())
    if (count.get<int>() > 0) text += fmt::format(", {} {}", count.get<int>(), state);
  if (sums.contains("average_utilization"))
    text += fmt::format("; load {:.0f}% on average", sums["average_utilization"].get<double>());
  if (sums.contains("total_memory_used"))
    text += fmt::format("; {} of {}", memory_text(sums["total_memory_used"].get<int64_t>()),
                        memory_text(sums.value("total_memory_total", int64_t{0})));
  if (sums.contains("total_power_draw"))
    text += fmt::format("; {:.0f} W", sums["total_power_draw"].get<double>());
  return text + "\n";
}

}  // namespace

std::string render_table(const Snapshot& snapshot, const std::vector<Device>& devices,
                         const TableStyle& style) {
  size_t longest = 4;
  for (const Device& device : devices) longest = std::max(longest, device.name.size());
  const int name_width = static_cast<int>(std::min<size_t>(longest, style.width >= 130 ? 36 : 20));
  std::string text = line(
      {cell("device", 7), cell("name", name_width), cell("load", kBar), cell("", 5), cell("memory", kBar),
       cell("", 15), cell("temp", 5), cell("power", 9), cell("state", 11), cell("owner", 5)},
      style);
  for (const Device& device : devices) text += line(row(snapshot, device, style, name_width), style);
  if (devices.empty()) text += "no devices\n";
  text += summary(devices);
  const std::string& problem = snapshot.driver.message;
  if (!problem.empty() && snapshot.driver.state != "absent") text += "driver: " + problem + "\n";
  if (!snapshot.store_problem.empty()) text += "leases are not known: " + snapshot.store_problem + "\n";
  return text;
}

TableStyle style_of_terminal() {
  TableStyle style;
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const char* no_color = std::getenv("NO_COLOR");
  style.color = terminal && (no_color == nullptr || *no_color == '\0');
  const char* locale = nullptr;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (locale == nullptr && value != nullptr && *value != '\0') locale = value;
  }
  style.unicode = locale != nullptr &&
                  (std::strstr(locale, "UTF-8") != nullptr || std::strstr(locale, "utf8") != nullptr);
  winsize size{};
  if (terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.width = size.ws_col;
  } else {
    style.width = 160;  // a file or a pipe has no edge, but lines should stay readable
  }
  return style;
}

}  // namespace saemill
