#include "control/jobs/run_end.h"

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/file.h"
#include "control/launch/run_folder.h"

namespace saemill {
namespace {

using Json = nlohmann::json;
using Kind = RunEnd::Kind;

constexpr int kLogLines = 8;

Kind kind_of(int code) {
  if (code == static_cast<int>(ErrorCode::cancelled)) return Kind::stopped;
  return code == static_cast<int>(ErrorCode::retry) ? Kind::lost : Kind::failed;
}

Json read_exit(const fs::path& run) {
  std::error_code error;
  if (!fs::exists(run / "exit.json", error)) return {};
  return Json::parse(read_file(run / "exit.json"), nullptr, /*allow_exceptions=*/false);
}

std::string text_of(const Json& exit, const char* key) {
  const auto at = exit.find(key);
  if (at == exit.end()) return "";
  return at->is_string() ? at->get<std::string>() : at->dump();
}

// "rank 1 (cpu:1) in phase train at step 40: was killed by signal 9 (Killed)"
std::string message_of(const Json& exit) {
  std::string where;
  if (exit.contains("rank"))
    where = fmt::format("rank {} ({})", text_of(exit, "rank"), text_of(exit, "device"));
  if (exit.contains("phase")) where += fmt::format(" in phase {}", text_of(exit, "phase"));
  if (!where.empty()) where += fmt::format(" at step {}: ", text_of(exit, "step"));
  return where + text_of(exit, "reason");
}

}  // namespace

bool is_finished(const fs::path& run) {
  const Json exit = read_exit(run);
  std::error_code error;
  return exit.is_object() && exit.value("code", Json()) == 0 && fs::exists(run / "sae" / "cfg.json", error) &&
         fs::exists(run / "sae" / "sae_weights.safetensors", error);
}

RunEnd read_run_end(const fs::path& run, const std::optional<ExitStatus>& status) {
  if (is_finished(run)) return {Kind::finished, "finished"};
  const Json exit = read_exit(run);
  if (exit.is_object() && exit.value("code", Json()).is_number_integer()) {
    const int code = exit["code"].get<int>();
    if (code == 0)
      return {Kind::failed, fmt::format("{}: the run ended well, but its SAE is not there", run.string())};
    return {kind_of(code), message_of(exit)};
  }
  if (!status || status->signal != 0)
    return {Kind::lost, status ? fmt::format("its launcher {}", describe(*status)) : "its launcher is gone"};
  // Before it had a run folder to write to.
  const std::string said = tail_of(run / "launcher.log", 0, kLogLines);
  return {kind_of(status->code),
          said.empty() ? fmt::format("its launcher {} and printed nothing", describe(*status)) : said};
}

}  // namespace saemill
