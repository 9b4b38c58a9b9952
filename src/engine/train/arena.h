// The memory of one rank's training: every buffer of the plan, shared ones from the communicator.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "common/plan/plan.h"
#include "engine/comm/communicator.h"
#include "engine/tensor/view.h"

namespace saemill {

struct Unmap {
  size_t bytes = 0;
  void operator()(std::byte* memory) const;
};

class Arena {
 public:
  Arena(const Plan& plan, Communicator& comm);
  // The buffer of that name as a view, or an empty view where the plan has none.
  View operator[](const std::string& name) const;
  // Gives the pages of a buffer that no rank needs any more back to the system; it reads as zeros afterwards.
  void release(const std::string& name);

 private:
  std::map<std::string, View> views_;
  std::unique_ptr<std::byte, Unmap> private_memory_;
};

DType dtype_from_name(const std::string& name);

}  // namespace saemill
