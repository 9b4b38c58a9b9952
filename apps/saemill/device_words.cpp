#include "device_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "common/base/error.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    if (comma > begin) words.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return words;
}

// "auto:4"; 0: it is something else.
int64_t automatic(const std::string& text) {
  if (text == "auto") return 1;
  int64_t count = 0;
  if (!text.starts_with("auto:")) return 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + 5, end, count);
  return error == std::errc() && rest == end && count > 0 ? count : 0;
}

// "0-2,5" of 0, 1, 2, 5.
std::string runs_of(std::vector<int64_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += text.empty() ? "" : ",";
    text += last == i ? std::to_string(numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[last]);
    i = last + 1;
  }
  return text;
}

// "CPU-host-3" is cpu:3. GPUs come first, so that their index is their number.
std::string short_names(const Json& uuids, const Json& indices) {
  std::vector<int64_t> cpus, gpus;
  for (size_t i = 0; i < uuids.size(); ++i) {
    const std::string uuid = uuids[i].get<std::string>();
    if (uuid.starts_with("CPU-")) {
      cpus.push_back(std::atoll(uuid.c_str() + uuid.rfind('-') + 1));
    } else if (i < indices.size()) {
      gpus.push_back(indices[i].get<int64_t>());
    } else {
      return fmt::format("{} named", uuids.size());
    }
  }
  std::string text = gpus.empty() ? "" : "gpu:" + runs_of(gpus);
  if (!cpus.empty()) text += (text.empty() ? "cpu:" : " cpu:") + runs_of(cpus);
  return text;
}

}  // namespace

void add_place_options(CLI::App& command, AskedPlace& place) {
  auto* devices = command
                      .add_option("--devices", place.devices,
                                  "Indices, uuids or names (gpu:0, cpu:1), separated by commas; or auto, "
                                  "auto:N; default: any one")
                      ->type_name("ID,ID");
  command.add_option("--count", place.count, "So many devices, which the server chooses")
      ->check(CLI::Range(1, 1024))
      ->excludes(devices);
}

CLI::Option* add_priority_option(CLI::App& command, AskedPlace& place) {
  return command
      .add_option("--priority", place.priority, "Its place in the queue: 0 to 100, the highest first")
      ->check(CLI::Range(0, 100));
}

void add_place(nlohmann::json& body, const AskedPlace& place) {
  if (place.priority >= 0) body["priority"] = place.priority;
  if (place.count > 0) body["device_count"] = place.count;
  if (place.devices.empty()) return;
  if (const int64_t count = automatic(place.devices); count > 0) {
    body["device_count"] = count;
    return;
  }
  body["gpu_ids"] = words_of(place.devices);
  if (body["gpu_ids"].empty())
    fail(ErrorCode::usage, "--devices {}: names none; accepted: gpu:0,gpu:1,..., cpu:0,..., auto:N",
         place.devices);
}

std::string devices_of(const Json& training) {
  const Json none = Json::array();
  const Json uuids = training.value("device_uuids", none);
  if (!uuids.empty()) return short_names(uuids, training.value("gpu_ids", none));
  const Json asked = training.value("asked_gpu_ids", none);
  if (!asked.empty()) return short_names(asked, none);
  return fmt::format("{} any", training.value("device_count", int64_t{1}));
}

}  // namespace saemill
