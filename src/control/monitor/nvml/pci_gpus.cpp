#include "control/monitor/nvml/pci_gpus.h"

#include <fstream>
#include <string>

namespace saemill::nvml {
namespace {

std::string word_in(const std::filesystem::path& file) {
  std::string word;
  std::ifstream(file) >> word;
  return word;
}

}  // namespace

bool may_have_gpu(const std::filesystem::path& devices) {
  std::error_code error;
  std::filesystem::directory_iterator entries(devices, error);
  if (error) return true;
  for (const auto& entry : entries)
    if (word_in(entry.path() / "vendor") == "0x10de" && word_in(entry.path() / "class").starts_with("0x03"))
      return true;
  return false;
}

}  // namespace saemill::nvml
