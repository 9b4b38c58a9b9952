#include "device_source.h"

#include <fmt/format.h>

#include "common/base/error.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kMegabyte = 1'000'000;
constexpr double kPatience = 5;  // s for one answer

class Sampled : public DeviceSource {
 public:
  explicit Sampled(const MachineOptions& options) : machine_(options) {}

  std::shared_ptr<const Snapshot> look(double settle) override { return machine_.look(settle); }

  Json recommend(RecommendRequest request) override {
    const auto snapshot = machine_.look();
    for (std::string& id : request.exclude) {
      const Device* device = find_device(snapshot->devices, id);
      if (device == nullptr) fail(ErrorCode::usage, "--exclude: there is no device {}", id);
      id = device->uuid;
    }
    return to_json(saemill::recommend(*snapshot, request));
  }

  Json validate(const std::vector<std::string>& ids, int64_t memory) override {
    return to_json(saemill::validate(*machine_.look(), ids, memory));
  }

 private:
  Machine machine_;
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

class Served : public DeviceSource {
 public:
  explicit Served(const net::ServerAddress& address) : client_(address, kPatience) {}

  std::shared_ptr<const Snapshot> look(double) override {
    auto snapshot = std::make_shared<Snapshot>();
    const Json answer = client_.json("GET", "/api/v1/system/gpus");
    for (const Json& device : answer.at("gpus")) snapshot->devices.push_back(device_from_json(device));
    const Json server = client_.json("GET", "/api/v1/server");
    if (const auto driver = server.find("driver"); driver != server.end()) {
      snapshot->driver.state = driver->value("state", "");
      snapshot->driver.message = driver->value("message", "");
      snapshot->driver.driver_version = driver->value("driver_version", "");
    }
    snapshot->store_problem = server.value("store_problem", "");
    return snapshot;
  }

  Json recommend(RecommendRequest request) override {
    std::string target =
        fmt::format("/api/v1/system/gpus/recommend?memory_mb={}&count={}&kind={}&mixed_models={}",
                    request.memory / kMegabyte, request.count, request.kind, request.mixed_models);
    if (!request.exclude.empty()) target += "&exclude=" + joined(request.exclude);
    const net::Answer answer = client_.request("GET", target);
    if (answer.status == 409) {
      const Json refusal = Json::parse(answer.body);
      Json told = Json::object();  // what the same question to this process would have been answered
      for (const char* name : {"code", "asked", "suitable", "rejected", "detail"})
        told[name] = refusal.at(name);
      return told;
    }
    return client_.json("GET", target);
  }

  Json validate(const std::vector<std::string>& ids, int64_t memory) override {
    Json body{{"gpu_ids", ids}};
    if (memory > 0) body["memory_mb"] = (memory + kMegabyte - 1) / kMegabyte;
    return client_.json("POST", "/api/v1/system/gpus/validate", body.dump());
  }

 private:
  net::Client client_;
};

}  // namespace

std::unique_ptr<DeviceSource> device_source(const MachineOptions& machine, const std::string& server) {
  const auto found =
      machine.cpu_slots >= 0 && server.empty() ? std::nullopt : find_answering_server({server, machine.data});
  if (!found) return std::make_unique<Sampled>(machine);
  return std::make_unique<Served>(*found);
}

}  // namespace saemill
