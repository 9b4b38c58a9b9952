#include "engine/data/batch_loader.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "engine/data/order.h"

namespace saemill {

// Slots go round: `filled` of them are ready, starting at step `next`; one more may be with the consumer.
struct BatchLoader::State {
  std::shared_ptr<const ActivationSet> set;
  BatchLoaderOptions options;
  std::vector<std::span<float>> slots;
  std::mutex mutex;
  std::condition_variable changed;
  int64_t produced = 0, consumed = 0;  // steps, from first_step
  bool held = false;                   // the consumer still reads slot consumed - 1
  bool stop = false;
  std::exception_ptr error;
  double waited = 0;
  std::thread thread;

  void fill(int64_t step, std::span<float> slot) const {
    const auto width = static_cast<size_t>(set->d_in());
    for (int64_t r = options.first_row; r < options.last_row; ++r) {
      const int64_t row = row_at(step * options.batch_size + r, set->rows(), options.seed);
      set->read(row, options.scale, slot.subspan(static_cast<size_t>(r - options.first_row) * width, width));
    }
  }

  void produce() {
    const int64_t steps = options.last_step - options.first_step;
    for (int64_t i = 0; i < steps; ++i) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] {
          return stop || i - (consumed - (held ? 1 : 0)) < static_cast<int64_t>(slots.size());
        });
        if (stop) return;
      }
      std::exception_ptr failure;
      try {
        fill(options.first_step + i, slots[static_cast<size_t>(i) % slots.size()]);
      } catch (...) {
        failure = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      if (failure)
        error = failure;
      else
        ++produced;
      changed.notify_all();
      if (failure) return;
    }
  }
};

BatchLoader::BatchLoader(std::shared_ptr<const ActivationSet> set, const BatchLoaderOptions& options,
                         std::vector<std::span<float>> slots)
    : state_(std::make_unique<State>()) {
  ensure(slots.size() >= 2, "the batch loader needs two slots");
  state_->set = std::move(set);
  state_->options = options;
  state_->slots = std::move(slots);
  state_->thread = std::thread(&State::produce, state_.get());
}

BatchLoader::~BatchLoader() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

std::span<const float> BatchLoader::next() {
  State& s = *state_;
  const double start = monotonic_seconds();
  std::unique_lock lock(s.mutex);
  s.held = false;
  s.changed.notify_all();
  ensure(s.consumed < s.options.last_step - s.options.first_step,
         "the batch loader is asked beyond its last step");
  s.changed.wait(lock, [&] { return s.produced > s.consumed || s.error; });
  s.waited += monotonic_seconds() - start;
  if (s.produced == s.consumed) std::rethrow_exception(s.error);
  s.held = true;
  const auto slot = s.slots[static_cast<size_t>(s.consumed++) % s.slots.size()];
  const auto rows = static_cast<size_t>(s.options.last_row - s.options.first_row);
  return slot.first(rows * static_cast<size_t>(s.set->d_in()));
}

double BatchLoader::wait_seconds() const {
  const std::lock_guard lock(state_->mutex);
  return state_->waited;
}

}  // namespace saemill
