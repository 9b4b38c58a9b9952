// Fills the rows of the coming batches on threads of its own, ahead of the step.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/data/activation_set.h"
#include "engine/data/order.h"

namespace saemill {

// Threads that fill the batches of one rank. A CPU rank's cores compute; a GPU rank's have little else to do,
// up to the two that start the GPU's work and report. `cores` as the rank's process may use.
int loader_threads(bool gpu, int cores);

struct BatchLoaderOptions {
  DataOrder order;
  int64_t batch_size = 0;  // global
  int64_t first_row = 0;   // this rank's rows of each batch: [first_row, last_row)
  int64_t last_row = 0;
  int64_t first_step = 0;  // step s reads positions [s * batch_size + first_row, s * batch_size + last_row)
  int64_t last_step = 0;   // no batch at or after it is read
  float scale = 1;         // every value is multiplied by it
};

// One consumer thread, and as many that read as the set has readers; batches are the same with any number. A
// slot holds (last_row - first_row) * d_in floats. The memory is the caller's and outlives the loader: each
// span is cut into as many whole slots as it has room for, two or more in all.
class BatchLoader {
 public:
  BatchLoader(std::shared_ptr<const ActivationSet> set, const BatchLoaderOptions& options,
              const std::vector<std::span<float>>& memory);
  ~BatchLoader();  // stops the threads, which end after the few rows that each is at

  // The rows of the next step, valid until the next call. Throws what reading threw, in order: earlier steps'
  // batches still come, and of several rows the first one's error is told.
  std::span<const float> next();
  // Seconds next() has waited in all.
  double wait_seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace saemill
