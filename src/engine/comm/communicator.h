// Collective operations between the ranks of one training.
//
// Every rank enters every collective, in the same order and with the same sizes; a mismatch is
// Error{internal} that names both. Each wait has a deadline; a peer that is late or gone is Error{retry}
// which names the rank and the operation. A rank that is at LongWork is waited for as long as it lives. After
// an error the communicator is unusable and only abort() may be called. One thread at a time.
//
// Sums are taken in rank order, so they repeat at a fixed number of ranks. Sums that must not depend on the
// number of ranks are taken by the caller, in index order, over gathered blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace saemill {

enum class Reduce { sum, min, max };

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Collective. Zeroed memory, 64-byte aligned, that lives as long as the communicator. Where the transport
  // can, all ranks see the same bytes (is_shared()); else each has its own. Error{retry} when there is no
  // room.
  virtual std::byte* allocate(size_t bytes) = 0;
  virtual bool is_shared() const = 0;

  // In place: rank r has written bytes [bounds[r], bounds[r + 1]) of `buffer`; afterwards every rank sees all
  // of them. bounds has size() + 1 ascending entries. In memory from allocate() of a shared transport this is
  // a barrier.
  virtual void all_gather(std::byte* buffer, std::span<const size_t> bounds) = 0;
  virtual void all_reduce(std::span<double> values, Reduce op) = 0;
  virtual void all_reduce(std::span<float> values, Reduce op) = 0;
  // Rank r receives in `mine` the sum over ranks of values[bounds[r], bounds[r + 1]) (counts of floats).
  virtual void reduce_scatter(std::span<const float> values, std::span<const size_t> bounds,
                              std::span<float> mine) = 0;
  // `send` and `receive` hold size() blocks of block_bytes; block r of send goes to rank r.
  virtual void all_to_all(const std::byte* send, std::byte* receive, size_t block_bytes) = 0;
  virtual void broadcast(std::byte* buffer, size_t bytes, int root) = 0;
  virtual void barrier() = 0;

  // Between them, which may be nested, this rank is not late (LongWork).
  virtual void begin_long_work() noexcept {}
  virtual void end_long_work() noexcept {}

  // Makes every rank's present and later calls fail with Error{retry} and this reason. From any thread.
  virtual void abort(const std::string& reason) noexcept = 0;

  // Seconds spent waiting in collectives since construction (comm_ms).
  virtual double wait_seconds() const = 0;
};

// For as long as it lives: this rank does what takes the time it takes, such as reading and writing files,
// and the others wait past their deadline. They still find out when it is gone, or stopped by a signal. Not
// around what may hang for good, such as a call to the driver: there the deadline is what ends a job.
class LongWork {
 public:
  explicit LongWork(Communicator& comm) : comm_(comm) { comm_.begin_long_work(); }
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;
  ~LongWork() { comm_.end_long_work(); }

 private:
  Communicator& comm_;
};

// One rank: identity.
std::unique_ptr<Communicator> make_self_communicator();

// CPU ranks on one machine, in a memfd inherited from the launcher (not yet sized; initially empty). Ranks
// are processes or, in tests, threads that each call this with a duplicate of the descriptor.
struct ShmOptions {
  int memory_fd = -1;
  int rank = 0;
  int size = 1;
  double deadline_seconds = 60;
};
std::unique_ptr<Communicator> make_shm_communicator(const ShmOptions& options);

}  // namespace saemill
