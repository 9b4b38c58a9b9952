#include "scenario.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace fake_nvml {
namespace {

using Json = nlohmann::json;

// One JSON object that remembers which keys were asked for.
class Fields {
 public:
  Fields(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) throw std::runtime_error(where_ + ": not an object");
  }

  const Json* child(const std::string& key) {
    known_.insert(key);
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }

  template <class T>
  std::optional<T> find(const std::string& key) {
    const Json* json = child(key);
    if (!json) return std::nullopt;
    try {
      return json->get<T>();
    } catch (const Json::exception& error) {
      throw std::runtime_error(where_ + "." + key + ": " + error.what());
    }
  }

  template <class T>
  T get(const std::string& key, T fallback) {
    return find<T>(key).value_or(std::move(fallback));
  }

  void finish() const {
    for (const auto& item : json_.items())
      if (!known_.contains(item.key()))
        throw std::runtime_error(where_ + ": unknown key '" + item.key() + "'");
  }

 private:
  const Json& json_;
  std::string where_;
  std::set<std::string> known_;
};

std::vector<Process> parse_processes(const Json* json) {
  std::vector<Process> processes;
  if (!json) return processes;
  for (const auto& entry : *json) {
    Fields fields(entry, "processes");
    Process process;
    process.pid = fields.get<unsigned>("pid", 0);
    const Json* memory = fields.child("memory_used");
    process.memory_used = !memory ? 0 : memory->is_null() ? ~std::uint64_t{0} : memory->get<std::uint64_t>();
    process.type = fields.get<std::string>("type", "compute");
    if (process.type != "compute" && process.type != "graphics" && process.type != "mps")
      throw std::runtime_error("processes: unknown type '" + process.type + "'");
    fields.finish();
    processes.push_back(process);
  }
  return processes;
}

std::vector<Mig> parse_mig(const Json& json, const std::string& gpu_name) {
  std::vector<Mig> migs;
  for (const auto& entry : json) {
    Fields fields(entry, "mig");
    Mig mig;
    mig.uuid = fields.get<std::string>("uuid", "MIG-" + std::to_string(migs.size()));
    mig.name = fields.get<std::string>("name", gpu_name + " MIG");
    mig.gpu_instance_id = fields.get<unsigned>("gpu_instance_id", 0);
    mig.compute_instance_id = fields.get<unsigned>("compute_instance_id", 0);
    mig.memory_total = fields.get<std::uint64_t>("memory_total", 0);
    mig.memory_used = fields.get<std::uint64_t>("memory_used", 0);
    mig.processes = parse_processes(fields.child("processes"));
    fields.finish();
    migs.push_back(mig);
  }
  return migs;
}

std::optional<Traffic> parse_traffic(const Json* json) {
  if (!json) return std::nullopt;
  Fields fields(*json, "traffic");
  const Traffic traffic{fields.get<double>("tx", 0), fields.get<double>("rx", 0)};
  fields.finish();
  return traffic;
}

std::optional<Clocks> parse_clocks(const Json* json) {
  if (!json) return std::nullopt;
  Fields fields(*json, "clocks");
  const Clocks clocks{fields.get<unsigned>("sm", 0), fields.get<unsigned>("memory", 0)};
  fields.finish();
  return clocks;
}

std::optional<Ecc> parse_ecc(const Json* json) {
  if (!json) return std::nullopt;
  Fields fields(*json, "ecc");
  Ecc ecc{fields.get<std::uint64_t>("sbe", 0), fields.get<std::uint64_t>("dbe", 0), std::nullopt};
  if (const Json* remapped = fields.child("remapped")) {
    Fields rows(*remapped, "remapped");
    ecc.remapped = Remapped{rows.get<unsigned>("correctable", 0), rows.get<unsigned>("uncorrectable", 0),
                            rows.get<bool>("pending", false), rows.get<bool>("failure", false)};
    rows.finish();
  }
  fields.finish();
  return ecc;
}

std::optional<std::vector<Link>> parse_links(const Json* json, std::size_t gpus) {
  if (!json) return std::nullopt;
  std::vector<Link> links;
  for (const auto& entry : *json) {
    Fields fields(entry, "nvlink_links");
    const Json* to = fields.child("to");
    if (!to || (to->is_string() && *to != "switch")) throw std::runtime_error("nvlink_links: 'to' is wrong");
    Link link;
    if (!to->is_string()) link.gpu = to->get<std::size_t>();
    if (link.gpu && *link.gpu >= gpus) throw std::runtime_error("nvlink_links: no such GPU");
    fields.finish();
    links.push_back(link);
  }
  return links;
}

unsigned parse_compute_mode(const std::string& mode) {
  if (mode == "default") return 0;
  if (mode == "prohibited") return 2;
  if (mode == "exclusive_process") return 3;
  throw std::runtime_error("unknown compute_mode '" + mode + "'");
}

void check_property(const std::string& name) {
  static const std::set<std::string> known{
      "uuid",       "name",         "pci_bus_id", "memory",    "utilization",    "temperature",
      "power_draw", "power_limit",  "energy",     "clocks",    "throttle",       "pcie",
      "nvlink",     "nvlink_links", "ecc",        "processes", "compute_mode",   "persistence_mode",
      "mig",        "fan_speed",    "topology",   "events",    "recovery_action"};
  if (!known.contains(name) && !name.starts_with("nvml"))
    throw std::runtime_error("not_supported: unknown property '" + name + "'");
}

void parse_sensors(Fields& fields, Gpu& gpu) {
  gpu.memory_total = fields.get<std::uint64_t>("memory_total", 0);
  gpu.memory_used = fields.get<std::uint64_t>("memory_used", 0);
  gpu.memory_reserved = fields.get<std::uint64_t>("memory_reserved", 0);
  gpu.utilization = fields.find<unsigned>("utilization");
  gpu.memory_utilization = fields.get<unsigned>("memory_utilization", 0);
  gpu.temperature = fields.find<unsigned>("temperature");
  gpu.power_draw = fields.find<double>("power_draw");
  gpu.power_limit = fields.find<double>("power_limit");
  gpu.energy = fields.find<double>("energy");
  gpu.fan_speed = fields.find<unsigned>("fan_speed");
  gpu.clocks = parse_clocks(fields.child("clocks"));
  gpu.throttle = fields.find<std::uint64_t>("throttle");
  gpu.pcie = parse_traffic(fields.child("pcie"));
  gpu.nvlink = parse_traffic(fields.child("nvlink"));
  gpu.ecc = parse_ecc(fields.child("ecc"));
}

Gpu parse_gpu(const Json& json, std::size_t index, std::size_t gpus) {
  Fields fields(json, "gpus[" + std::to_string(index) + "]");
  Gpu gpu;
  gpu.uuid = fields.find<std::string>("uuid");
  gpu.name = fields.find<std::string>("name");
  gpu.pci_bus_id = fields.find<std::string>("pci_bus_id");
  parse_sensors(fields, gpu);
  gpu.nvlink_links = parse_links(fields.child("nvlink_links"), gpus);
  gpu.numa = fields.get<int>("numa", 0);
  gpu.pcie_switch = fields.find<int>("pcie_switch");
  gpu.compute_mode = parse_compute_mode(fields.get<std::string>("compute_mode", "default"));
  gpu.persistence_mode = fields.get<bool>("persistence_mode", true);
  gpu.recovery_action = fields.find<unsigned>("recovery_action");
  const Json* mig = fields.child("mig");
  gpu.mig_capable = mig != nullptr;
  if (mig && mig->is_array()) gpu.mig = parse_mig(*mig, gpu.name.value_or("GPU"));
  if (mig && !mig->is_array() && *mig != false) throw std::runtime_error("mig: neither a list nor false");
  gpu.processes = parse_processes(fields.child("processes"));
  gpu.not_supported = fields.get<std::set<std::string>>("not_supported", {});
  for (const auto& name : gpu.not_supported) check_property(name);
  gpu.errors = fields.get<std::map<std::string, unsigned>>("errors", {});
  gpu.key = gpu.uuid.value_or("#" + std::to_string(index));
  fields.finish();
  return gpu;
}

// What happens, after "at_s" and "gpu" were read.
void parse_kind(Fields& fields, Event& event) {
  int kinds = 0;
  const auto is = [&](const char* key, Event::Kind kind) {
    const Json* json = fields.child(key);
    if (!json) return false;
    event.kind = kind;
    ++kinds;
    return true;
  };
  if (is("xid", Event::Kind::xid)) event.number = fields.get<std::uint64_t>("xid", 0);
  if (is("dbe", Event::Kind::dbe)) event.number = fields.get<std::uint64_t>("dbe", 0);
  is("lost", Event::Kind::lost);
  is("recovered", Event::Kind::recovered);
  is("added", Event::Kind::added);
  is("removed", Event::Kind::removed);
  if (is("hang_s", Event::Kind::hang)) event.hang_s = fields.get<double>("hang_s", 0);
  event.call = fields.get<std::string>("call", "");
  const bool hang = event.kind == Event::Kind::hang;
  if (kinds != 1) throw std::runtime_error("events: one thing happens in each");
  if (hang == event.call.empty()) throw std::runtime_error("events: 'call' goes with 'hang_s'");
  if (!hang && !event.gpu) throw std::runtime_error("events: 'gpu' is missing");
}

std::vector<Event> parse_events(const Json* json, std::size_t gpus) {
  std::vector<Event> events;
  if (!json) return events;
  std::map<std::string, int> same;
  for (const auto& entry : *json) {
    Fields fields(entry, "events");
    Event event;
    event.at_s = fields.get<double>("at_s", 0);
    event.gpu = fields.find<std::size_t>("gpu");
    if (event.gpu && *event.gpu >= gpus) throw std::runtime_error("events: no such GPU");
    parse_kind(fields, event);
    event.key = entry.dump() + "#" + std::to_string(same[entry.dump()]++);
    fields.finish();
    events.push_back(event);
  }
  std::stable_sort(events.begin(), events.end(), [](auto& a, auto& b) { return a.at_s < b.at_s; });
  return events;
}

}  // namespace

Scenario parse_scenario(const std::string& text) {
  const Json json = Json::parse(text);
  Fields fields(json, "scenario");
  Scenario scenario;
  scenario.driver_version = fields.get<std::string>("driver_version", "570.86.15");
  scenario.nvml_version = fields.get<std::string>("nvml_version", "12.570.86.15");
  scenario.log = fields.get<std::string>("log", "");
  const auto layout = fields.get<std::string>("process_struct", "v3");
  if (layout != "v3" && layout != "535") throw std::runtime_error("unknown process_struct '" + layout + "'");
  scenario.process_struct_535 = layout == "535";
  scenario.missing = fields.get<std::set<std::string>>("missing", {});
  scenario.errors = fields.get<std::map<std::string, unsigned>>("errors", {});
  scenario.delays_ms = fields.get<std::map<std::string, unsigned>>("delays_ms", {});
  if (const Json* gpus = fields.child("gpus"))
    for (const auto& gpu : *gpus) scenario.gpus.push_back(parse_gpu(gpu, scenario.gpus.size(), gpus->size()));
  scenario.events = parse_events(fields.child("events"), scenario.gpus.size());
  fields.finish();
  return scenario;
}

}  // namespace fake_nvml
