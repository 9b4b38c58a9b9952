#include "state.h"

using namespace fake_nvml;

namespace {

constexpr unsigned kRemoteGpu = 0, kRemoteSwitch = 2;

unsigned common_ancestor(const View& a, const View& b) {
  if (a.index == b.index) return 0;
  if (a.gpu->pcie_switch && a.gpu->pcie_switch == b.gpu->pcie_switch) return 10;
  return a.gpu->numa == b.gpu->numa ? 30 : 50;
}

// `body` gets the link, where the GPU has it.
template <class Body>
nvmlReturn_t ask_link(const char* symbol, nvmlDevice_t device, unsigned link, const void* out, Body body) {
  return ask(symbol, "nvlink_links", device, link < NVML_NVLINK_MAX_LINKS && out,
             [&](State& state, const View& view) {
               const auto& links = view.gpu->nvlink_links;
               // "nvlink" takes the links away together with their counters.
               if (!links || link >= links->size() || view.gpu->not_supported.contains("nvlink"))
                 return NVML_ERROR_NOT_SUPPORTED;
               return body(state, (*links)[link]);
             });
}

}  // namespace

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t device, nvmlDevice_t other,
                                                               unsigned* level) {
  State& state = State::get();
  Lock lock(state.mutex());
  if (const auto error = state.enter(lock, __func__)) return error;
  if (!device || !other || !level) return NVML_ERROR_INVALID_ARGUMENT;
  View a;
  View b;
  if (const auto error = state.admit(lock, __func__, "topology", device, a)) return error;
  if (const auto error = state.admit(lock, __func__, "topology", other, b)) return error;
  // Again, as the second may have hung while the scenario changed.
  if (const auto error = state.resolve(device, a)) return error;
  if (a.mig || b.mig) return NVML_ERROR_NOT_SUPPORTED;
  *level = common_ancestor(a, b);
  return NVML_SUCCESS;
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, unsigned* active) {
  return ask_link(__func__, device, link, active, [&](State&, const Link&) {
    *active = 1;
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned link,
                                                               nvmlPciInfo_t* pci) {
  return ask_link(__func__, device, link, pci, [&](State& state, const Link& to) {
    const std::string a_switch = "00000000:A0:00.0";
    const auto id = to.gpu ? state.scenario().gpus[*to.gpu].pci_bus_id : a_switch;
    if (!id) return NVML_ERROR_NOT_SUPPORTED;
    fill_pci(*id, *pci);
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned link,
                                                               unsigned* type) {
  return ask_link(__func__, device, link, type, [&](State&, const Link& to) {
    *type = to.gpu ? kRemoteGpu : kRemoteSwitch;
    return NVML_SUCCESS;
  });
}
