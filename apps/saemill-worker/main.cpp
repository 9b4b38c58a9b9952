// One rank of a training, and whatever else needs the engine. People type `saemill`, which executes this.
#include <omp.h>
#include <stdlib.h>

#include <cstdio>
#include <exception>
#include <string_view>

#include "commands.h"
#include "common/base/descriptors.h"
#include "common/base/error.h"
#include "common/base/version.h"

namespace saemill {
namespace {

void check_who_started_this() {
  const char* told = ::getenv(kStartedByVersion);
  if (told == nullptr || std::string_view(told) == kVersion) return;
  // Worth a restart: a launcher that was replaced under its server is of the new version next time.
  fail(ErrorCode::retry,
       "this saemill-worker is version {}, and the saemill that started it version {}; accepted: both of one "
       "version, beside each other or named by --worker",
       kVersion, std::string_view(told).substr(0, 40));
}

int run(int argc, char** argv) {
  check_who_started_this();  // another version has other options
  CLI::App app("saemill-worker: one rank of a training, and the engine's other work", "saemill-worker");
  app.require_subcommand(1);
  Run chosen;
  for (const auto add :
       {add_train, add_eval, add_inspect, add_checkpoints, add_devices, add_probe, add_bench})
    add(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorCode::usage);
  }
  // Loops name their own number of threads; oneDNN must not take more than one inside them.
  omp_set_num_threads(1);
  raise_descriptor_limit();
  return chosen();
}

}  // namespace
}  // namespace saemill

int main(int argc, char** argv) {
  using namespace saemill;
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "saemill: %s\n", error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "saemill: no memory left\n");
    return static_cast<int>(ErrorCode::retry);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "saemill: internal error: %s\n", error.what());
    return static_cast<int>(ErrorCode::internal);
  }
}
