// Columns of a chart: one entry per bucket, null where nothing was measured.
#pragma once

#include <optional>
#include <vector>

#include "control/api/http.h"

namespace saemill::api {

inline Json columns_json(const std::vector<std::optional<double>>& min,
                         const std::vector<std::optional<double>>& mean,
                         const std::vector<std::optional<double>>& max) {
  const auto column = [](const std::vector<std::optional<double>>& values) {
    Json list = Json::array();
    for (const auto& value : values) list.push_back(value ? Json(*value) : Json(nullptr));
    return list;
  };
  return {{"min", column(min)}, {"mean", column(mean)}, {"max", column(max)}};
}

}  // namespace saemill::api
