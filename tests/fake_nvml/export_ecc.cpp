// ECC and the fields of nvmlDeviceGetFieldValues.
#include <chrono>

#include "state.h"

using namespace fake_nvml;

namespace {

void put(nvmlFieldValue_t& field, unsigned value) {
  field.nvmlReturn = NVML_SUCCESS;
  field.valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
  field.value = {};
  field.value.uiVal = value;
}

void put_bytes(nvmlFieldValue_t& field, double value) {
  field.nvmlReturn = NVML_SUCCESS;
  field.valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
  field.value.ullVal = static_cast<std::uint64_t>(value);
}

void put_nvlink(nvmlFieldValue_t& field, const Gpu& gpu, double bytes) {
  const bool all = field.scopeId == ~0U;
  const std::size_t links = gpu.nvlink_links ? gpu.nvlink_links->size() : 0;
  if (!all && field.scopeId >= links)
    field.nvmlReturn = NVML_ERROR_INVALID_ARGUMENT;
  else
    put_bytes(field, bytes / 1024 / (all ? 1.0 : static_cast<double>(links)));
}

void put_remapped(nvmlFieldValue_t& field, const Remapped& rows) {
  if (field.fieldId == NVML_FI_DEV_REMAPPED_COR) put(field, rows.correctable);
  if (field.fieldId == NVML_FI_DEV_REMAPPED_UNC) put(field, rows.uncorrectable);
  if (field.fieldId == NVML_FI_DEV_REMAPPED_PENDING) put(field, rows.pending);
  if (field.fieldId == NVML_FI_DEV_REMAPPED_FAILURE) put(field, rows.failure);
}

void fill_field(const State& state, const Gpu& gpu, nvmlFieldValue_t& field) {
  const auto has = [&](const char* property) { return !gpu.not_supported.contains(property); };
  const Totals totals = state.totals(gpu);
  field.nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
  switch (field.fieldId) {
    case NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX:
      if (gpu.nvlink && has("nvlink")) put_nvlink(field, gpu, totals.nvlink_tx);
      break;
    case NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX:
      if (gpu.nvlink && has("nvlink")) put_nvlink(field, gpu, totals.nvlink_rx);
      break;
    case NVML_FI_DEV_PCIE_COUNT_TX_BYTES:
      if (gpu.pcie && has("pcie")) put_bytes(field, totals.pcie_tx);
      break;
    case NVML_FI_DEV_PCIE_COUNT_RX_BYTES:
      if (gpu.pcie && has("pcie")) put_bytes(field, totals.pcie_rx);
      break;
    case NVML_FI_DEV_GET_GPU_RECOVERY_ACTION:
      if (gpu.recovery_action && has("recovery_action")) put(field, *gpu.recovery_action);
      break;
    default:
      if (gpu.ecc && gpu.ecc->remapped && has("ecc")) put_remapped(field, *gpu.ecc->remapped);
  }
}

}  // namespace

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count,
                                                    nvmlFieldValue_t* fields) {
  return ask(__func__, "", device, fields && count > 0, [&](State& state, const View& view) {
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    for (int i = 0; i < count; ++i) {
      fields[i].timestamp = std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count();
      fields[i].latencyUsec = 1;
      fill_field(state, *view.gpu, fields[i]);
    }
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, unsigned type, unsigned counter,
                                                       std::uint64_t* count) {
  return ask(__func__, "ecc", device, type <= 1 && counter <= 1 && count,
             [&](State& state, const View& view) {
               if (!view.gpu->ecc) return NVML_ERROR_NOT_SUPPORTED;
               *count = type == 0 ? view.gpu->ecc->sbe : view.gpu->ecc->dbe + state.status(view.index).dbe;
               return NVML_SUCCESS;
             });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned* correctable,
                                                     unsigned* uncorrectable, unsigned* pending,
                                                     unsigned* failure) {
  const bool arguments = correctable && uncorrectable && pending && failure;
  return ask(__func__, "ecc", device, arguments, [&](State&, const View& view) {
    if (!view.gpu->ecc || !view.gpu->ecc->remapped) return NVML_ERROR_NOT_SUPPORTED;
    const Remapped& rows = *view.gpu->ecc->remapped;
    *correctable = rows.correctable;
    *uncorrectable = rows.uncorrectable;
    *pending = rows.pending;
    *failure = rows.failure;
    return NVML_SUCCESS;
  });
}
