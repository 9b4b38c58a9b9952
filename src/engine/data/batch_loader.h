// Fills the rows of the coming batches on a thread of its own, ahead of the step.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/data/activation_set.h"

namespace saemill {

struct BatchLoaderOptions {
  uint64_t seed = 0;
  int64_t batch_size = 0;  // global
  int64_t first_row = 0;   // this rank's rows of each batch: [first_row, last_row)
  int64_t last_row = 0;
  int64_t first_step = 0;  // step s reads positions [s * batch_size + first_row, s * batch_size + last_row)
  int64_t last_step = 0;   // no batch at or after it is read
  float scale = 1;         // every value is multiplied by it
};

// One consumer thread. The slots are the caller's memory, at least two, each (last_row - first_row) * d_in
// floats; they must outlive the loader.
class BatchLoader {
 public:
  BatchLoader(std::shared_ptr<const ActivationSet> set, const BatchLoaderOptions& options,
              std::vector<std::span<float>> slots);
  ~BatchLoader();  // stops the thread

  // The rows of the next step, valid until the next call. Throws what reading threw, in order: earlier steps'
  // batches still come.
  std::span<const float> next();
  // Seconds next() has waited in all.
  double wait_seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace saemill
