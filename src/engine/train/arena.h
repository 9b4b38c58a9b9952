// The memory of one rank's training: every buffer of the plan. On a GPU it is the backend's, apart from what
// the host reads and writes; on CPUs this process's, and what ranks share the communicator's.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "common/plan/plan.h"
#include "engine/backend/backend.h"
#include "engine/comm/communicator.h"
#include "engine/tensor/view.h"

namespace saemill {

struct Unmap {
  size_t bytes = 0;
  void operator()(std::byte* memory) const;
};

class Arena {
 public:
  // `first_latent`: the first that this rank owns.
  Arena(const Plan& plan, Communicator& comm, Backend& backend, int64_t first_latent = 0);
  // The buffer of that name as a view, or an empty view where the plan has none. One of which the rank has
  // its own latents only is addressed as if it had all.
  View operator[](const std::string& name) const;
  // On CPUs: gives the pages of a buffer that no rank needs any more back to the system; it reads as zeros
  // afterwards.
  void release(const std::string& name);

 private:
  void allocate_host(const Plan& plan, Communicator& comm);
  void allocate_gpu(const Plan& plan, Communicator& comm, Backend& backend, int64_t first_latent);

  std::map<std::string, View> views_;
  std::unique_ptr<std::byte, Unmap> private_memory_;
};

DType dtype_from_name(const std::string& name);

}  // namespace saemill
