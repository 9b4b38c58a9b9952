// /metrics, in Prometheus' text format 0.0.4. Devices carry the names, units and labels of NVIDIA's
// dcgm-exporter, so that its public dashboards show them; the server's own metrics begin with saemill_.
#pragma once

#include <string>

#include "control/api/services.h"

namespace saemill::api {

// A series that cannot be read is absent; nothing is NaN. `promtool check metrics` complains of DCGM's own
// names alone: of the label modelName, and of five counters without _total (TOTAL_ENERGY_CONSUMPTION,
// ECC_SBE_VOL_TOTAL, ECC_DBE_VOL_TOTAL, CORRECTABLE_REMAPPED_ROWS, UNCORRECTABLE_REMAPPED_ROWS).
std::string prometheus_text(const Services& services);

}  // namespace saemill::api
