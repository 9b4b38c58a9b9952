// A library that is loaded has only native handles of streams, so this reaches behind runtime.h.
#include "fake_nccl/emulated_device.h"

#include <mutex>
#include <utility>
#include <vector>

#include "cuda_emulation/machine.h"

namespace fake_nccl {
namespace {

using saemill::gpu::emulation::machine;
using saemill::gpu::emulation::StreamState;
using saemill::gpu::emulation::WorkPtr;

class EmulatedDevice final : public Device {
 public:
  void enqueue(void* stream, const std::string& name, std::function<void()> work) override {
    machine().enqueue(static_cast<StreamState*>(stream), name, std::move(work));
  }

  std::shared_ptr<void> mark(void* stream) override {
    const std::lock_guard lock(machine().lock());
    return std::make_shared<std::vector<WorkPtr>>(static_cast<StreamState*>(stream)->tails);
  }

  void wait(void* stream, const std::shared_ptr<void>& mark) override {
    const std::lock_guard lock(machine().lock());
    const auto& held = *std::static_pointer_cast<std::vector<WorkPtr>>(mark);
    auto& tails = static_cast<StreamState*>(stream)->tails;
    tails.insert(tails.end(), held.begin(), held.end());
  }
};

}  // namespace

Device& emulated_device() {
  static EmulatedDevice device;
  return device;
}

}  // namespace fake_nccl
