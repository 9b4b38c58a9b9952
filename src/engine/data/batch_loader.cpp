#include "engine/data/batch_loader.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"

namespace saemill {
namespace {

// A thread takes so many values at a time: long beside taking the lock, short beside a batch.
constexpr int64_t kTaskValues = 65536;

struct Slot {
  std::span<float> values;
  int64_t tasks_done = 0;  // of the step that it is for
};

std::vector<Slot> cut(const std::vector<std::span<float>>& memory, size_t slot_size) {
  std::vector<Slot> slots;
  for (const std::span<float>& span : memory) {
    const size_t count = slot_size == 0 ? 1 : span.size() / slot_size;  // a rank may have no rows
    for (size_t i = 0; i < count; ++i) slots.push_back({span.subspan(i * slot_size, slot_size)});
  }
  return slots;
}

}  // namespace

int loader_threads(bool gpu, int cores) {
  return gpu ? std::clamp(cores - 2, 1, 8) : 1;
}

// Steps are cut into tasks of a few rows, which the threads take in order; slots go round. A slot is free for
// its next step when the consumer has asked for the batch after it.
struct BatchLoader::State {
  State(std::shared_ptr<const ActivationSet> activations, const BatchLoaderOptions& loader_options,
        const std::vector<std::span<float>>& memory)
      : set(std::move(activations)),
        options(loader_options),
        width(set->d_in()),
        rows(options.last_row - options.first_row),
        slots(cut(memory, static_cast<size_t>(rows * width))),
        task_rows(std::max<int64_t>(1, kTaskValues / width)),
        step_tasks(std::max<int64_t>(1, (rows + task_rows - 1) / task_rows)),
        steps(options.last_step - options.first_step) {
    ensure(options.order.rows == set->rows(), "the batch loader has the order of another set");
    ensure(slots.size() >= 2, "the batch loader needs two slots");
  }
  ~State() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    room.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  const std::shared_ptr<const ActivationSet> set;
  const BatchLoaderOptions options;
  const int64_t width, rows;  // of a slot
  std::vector<Slot> slots;
  const int64_t task_rows, step_tasks, steps;

  std::mutex mutex;
  std::condition_variable room, ready;
  int64_t taken = 0;     // tasks, from first_step
  int64_t running = 0;   // of these
  int64_t consumed = 0;  // steps, from first_step
  bool held = false;     // the consumer still reads the batch of step consumed - 1
  std::atomic<bool> stop = false;
  int64_t failed = 0;  // the first task with an error
  std::exception_ptr error;
  double waited = 0;
  std::vector<std::thread> threads;

  Slot& slot_of(int64_t step) { return slots[static_cast<size_t>(step) % slots.size()]; }

  bool has_task() const {
    const int64_t step = taken / step_tasks, freed = consumed - (held ? 1 : 0);
    return !error && step < steps && step - freed < static_cast<int64_t>(slots.size());
  }

  void fill(int64_t task) {
    const int64_t step = task / step_tasks, first = task % step_tasks * task_rows;
    const std::span<float> values = slot_of(step).values;
    const int64_t start = (options.first_step + step) * options.batch_size + options.first_row;
    const int64_t last = std::min(rows, first + task_rows);
    if (task == 0) expect_start();
    for (const RowRange& block : blocks_ahead(options.order, start + first, start + last, end_position()))
      set->expect(block.first, block.last);
    for (int64_t r = first; r < last; ++r) {
      const int64_t row = row_at(options.order, start + r);
      set->read(row, options.scale,
                values.subspan(static_cast<size_t>(r * width), static_cast<size_t>(width)));
    }
  }

  int64_t end_position() const { return options.last_step * options.batch_size; }

  // This rank's share, as large as that of a batch.
  void expect_start() {
    const int64_t position = options.first_step * options.batch_size;
    const auto blocks = blocks_at_start(options.order, position, end_position());
    const auto count = static_cast<int64_t>(blocks.size());
    for (int64_t n = count * options.first_row / options.batch_size;
         n < count * options.last_row / options.batch_size && !stop; ++n)
      set->expect(blocks[static_cast<size_t>(n)].first, blocks[static_cast<size_t>(n)].last);
  }

  // After an error no task is begun: all before it are, so the first one's error is known when none runs.
  void end(int64_t task, std::exception_ptr failure) {
    --running;
    const bool complete = !failure && ++slot_of(task / step_tasks).tasks_done == step_tasks;
    if (failure && (!error || task < failed)) error = std::move(failure), failed = task;
    if (complete || (error && running == 0)) ready.notify_one();
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      room.wait(lock, [&] { return stop || has_task(); });
      if (stop) return;
      const int64_t task = taken++;
      ++running;
      // Each wakes one more, so that the consumer, whose step waits for it, need not wake them all.
      if (has_task()) room.notify_one();
      lock.unlock();
      std::exception_ptr failure;
      try {
        fill(task);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      end(task, std::move(failure));
    }
  }
};

BatchLoader::BatchLoader(std::shared_ptr<const ActivationSet> set, const BatchLoaderOptions& options,
                         const std::vector<std::span<float>>& memory)
    : state_(std::make_unique<State>(std::move(set), options, memory)) {
  for (int i = 0; i < state_->set->readers(); ++i) state_->threads.emplace_back(&State::work, state_.get());
}

BatchLoader::~BatchLoader() = default;

std::span<const float> BatchLoader::next() {
  State& s = *state_;
  const double start = monotonic_seconds();
  std::unique_lock lock(s.mutex);
  if (s.held) s.slot_of(s.consumed - 1).tasks_done = 0;
  s.held = false;
  // A call that wakes nobody is cheaper, and half of the slots last until more are filled.
  const int64_t ahead = s.taken / s.step_tasks - s.consumed;
  if (2 * ahead <= static_cast<int64_t>(s.slots.size()) && s.has_task()) s.room.notify_one();
  ensure(s.consumed < s.steps, "the batch loader is asked beyond its last step");
  const Slot& slot = s.slot_of(s.consumed);
  const auto complete = [&] { return slot.tasks_done == s.step_tasks; };
  s.ready.wait(lock, [&] { return complete() || (s.error && s.running == 0); });
  s.waited += monotonic_seconds() - start;
  if (!complete()) std::rethrow_exception(s.error);
  s.held = true;
  ++s.consumed;
  return slot.values;
}

double BatchLoader::wait_seconds() const {
  const std::lock_guard lock(state_->mutex);
  return state_->waited;
}

}  // namespace saemill
