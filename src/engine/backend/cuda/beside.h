// Work that goes beside the compute stream's: small kernels that would leave most of the device idle.
#pragma once

#include <utility>

#include "engine/gpu/runtime.h"

namespace saemill {

class Beside {
 public:
  // The stream for it, which begins after all that `compute` has been given so far.
  const gpu::Stream& begin(const gpu::Stream& compute) {
    begun_.record(compute);
    begun_.make_wait(stream_);
    open_ = true;
    return stream_;
  }
  // What `compute` is given from now on begins after all that was enqueued since begin().
  void join(const gpu::Stream& compute) {
    if (!std::exchange(open_, false)) return;
    done_.record(stream_);
    done_.make_wait(compute);
  }

 private:
  gpu::Stream stream_;
  gpu::Event begun_, done_;
  bool open_ = false;
};

}  // namespace saemill
