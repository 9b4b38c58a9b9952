#include "common/plan/plan.h"
#include "engine/model/architecture.h"
#include "engine/model/relu.h"
#include "engine/model/topk.h"

namespace saemill {
namespace {

struct Row {
  const char* name;
  std::unique_ptr<Architecture> (*make)(const SaeConfig& config);
};

constexpr Row kTable[] = {
    {"topk", make_topk},
    {"relu", make_relu},
};

}  // namespace

std::unique_ptr<Architecture> make_architecture(const SaeConfig& config) {
  for (const Row& row : kTable)
    if (config.architecture == row.name) return row.make(config);
  fail(ErrorCode::bad_config, "sae.architecture is \"{}\"; accepted: topk, relu", config.architecture);
}

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const Row& row : kTable) names.emplace_back(row.name);
  return names;
}

}  // namespace saemill
