// The fake NVML (tests/fake_nvml/README.md), loaded with a scenario.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/temporary_folder.h"
#include "fake_nvml/machine.h"

namespace saemill {

// A folder of its own, and the fake library loaded from its path: a later dlopen of the driver's name finds
// it, since it bears that name. One load() in a process.
class FakeDriver {
 public:
  void write(const Json& scenario) const {
    // Renamed into place: the fake must not see half of it.
    std::ofstream(folder_ / "next.json") << scenario.dump();
    std::filesystem::rename(folder_ / "next.json", folder_ / "scenario.json");
  }
  void load(const Json& scenario) const {
    write(scenario);
    ::setenv("FAKE_NVML_SCENARIO", (folder_ / "scenario.json").c_str(), 1);
    ASSERT_NE(::dlopen(FAKE_NVML_LIBRARY, RTLD_NOW | RTLD_LOCAL), nullptr) << ::dlerror();
  }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path;
};

}  // namespace saemill
