#include "control/launch/cause.h"

#include <algorithm>

#include "common/base/error.h"

namespace saemill {
namespace {

int weight(const Failure& failure) {
  if (failure.code != static_cast<int>(ErrorCode::retry)) return 3;
  if (failure.kind == FailureKind::signal) return 2;
  return failure.kind == FailureKind::silent ? 1 : 0;
}

}  // namespace

int job_code(int code) {
  for (const auto known : {ErrorCode::usage, ErrorCode::bad_data, ErrorCode::internal, ErrorCode::retry,
                           ErrorCode::bad_config, ErrorCode::cancelled}) {
    if (code == static_cast<int>(known)) return code;
  }
  return static_cast<int>(ErrorCode::internal);
}

const Failure& first_cause(const std::vector<Failure>& failures) {
  ensure(!failures.empty(), "no failure to choose from");
  // max_element keeps the earliest of equals.
  return *std::max_element(failures.begin(), failures.end(),
                           [](const Failure& a, const Failure& b) { return weight(a) < weight(b); });
}

}  // namespace saemill
