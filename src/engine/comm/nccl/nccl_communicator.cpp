#include "engine/comm/nccl/nccl_communicator.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <future>
#include <thread>
#include <utility>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "engine/gpu/runtime.h"

namespace saemill::nccl {
namespace {

constexpr double kEndSeconds = 10;  // at most, for an abort or an orderly end

// Most waits are short.
void pause(double waited) {
  if (waited < 1e-3) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace

Communicator::Communicator(std::shared_ptr<const Library> library, const UniqueId& id, int rank, int size,
                           double deadline_seconds)
    : library_(std::move(library)), rank_(rank), device_(gpu::current_device()), deadline_(deadline_seconds) {
  const std::string operation = fmt::format("joining NCCL's {} ranks", size);
  Config config;
  config.blocking = 0;
  require(library_->comm_init_rank_config(&comm_, size, id, rank, &config), operation.c_str());
  wait(operation.c_str(), deadline_);
}

Communicator::~Communicator() {
  try {
    // Where an exception passes by, the others may not come to end this with us.
    if (comm_ && std::uncaught_exceptions() == 0) finalize();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
  }
  abort();  // what is left
}

void Communicator::group(const char* operation, const std::function<int(Comm)>& calls) {
  ensure(comm_ != nullptr, "NCCL is used after an error");
  require(library_->group_start(), operation);
  const int called = calls(comm_);
  const int ended = library_->group_end();  // in any case, or this thread's later calls would join the group
  require(called, operation);
  require(ended, operation);
  wait(operation, deadline_);
}

void Communicator::require(int result, const char* operation) {
  if (is_good(result)) return;
  give_up(fmt::format("rank {}: {} failed: {}", rank_, operation, library_->describe(result, comm_)));
}

void Communicator::check(const char* operation) {
  ensure(comm_ != nullptr, "NCCL is used after an error");
  require(state(operation), operation);
}

void Communicator::give_up(const std::string& reason) {
  abort();
  throw Error(ErrorCode::retry, reason);
}

int Communicator::state(const char* operation) {
  int state = kSuccess;
  require(library_->comm_get_async_error(comm_, &state), operation);
  return state;
}

void Communicator::wait(const char* operation, double seconds) {
  const double start = monotonic_seconds();
  for (;;) {
    const int now = state(operation);
    require(now, operation);
    if (now == kSuccess) return;
    const double waited = monotonic_seconds() - start;
    if (waited > seconds)
      give_up(
          fmt::format("rank {}: {} was not ready after {:g} s: a rank is late, gone or out of reach "
                      "(NCCL_DEBUG=WARN says more)",
                      rank_, operation, seconds));
    pause(waited);
  }
}

void Communicator::finalize() {
  require(library_->comm_finalize(comm_), "ending NCCL");
  wait("ending NCCL", std::min(deadline_, kEndSeconds));
  library_->comm_destroy(std::exchange(comm_, nullptr));
}

// NCCL's abort may itself wait for ever, so a thread of its own calls it while this one stays out of NCCL.
void Communicator::abort() noexcept {
  const Comm comm = std::exchange(comm_, nullptr);
  if (!comm) return;
  try {
    std::promise<void> promise;
    const std::future<void> ended = promise.get_future();
    std::thread thread([library = library_, device = device_, comm, done = std::move(promise)]() mutable {
      try {
        gpu::use_device(device);
      } catch (const Error&) {
        // A lost device is a reason to abort, and NCCL knows its own.
      }
      library->comm_abort(comm);
      done.set_value();
    });
    const double seconds = std::min(deadline_, kEndSeconds);
    if (ended.wait_for(std::chrono::duration<double>(seconds)) == std::future_status::ready) {
      thread.join();
      return;
    }
    thread.detach();
    fmt::print(stderr,
               "rank {}: NCCL's abort has not ended after {:g} s; its communicator is left as it is\n", rank_,
               seconds);
  } catch (const std::exception& error) {
    fmt::print(stderr, "rank {}: NCCL's communicator cannot be aborted ({}) and is left as it is\n", rank_,
               error.what());
  }
}

}  // namespace saemill::nccl
