// Moves rows of matrices between the memories of the ranks' devices: the bulk of what ranks exchange. Votes,
// signals and other small values of the host go by the Communicator.
//
// Every rank makes the same calls with the same shapes, in the same order. On GPUs a call enqueues: it moves
// what earlier work of the compute stream wrote, and later work of that stream sees the result. On CPUs it
// has happened when the call returns. A peer that is late, gone or broken is Error{retry} that names the
// operation and, where it is known, the rank; after an error the exchange is only destroyed. One thread at a
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/comm/communicator.h"
#include "engine/tensor/view.h"

namespace saemill {

// A matrix of which rank r has written rows [bounds[r], bounds[r + 1]); size() + 1 ascending entries.
struct Gathered {
  View view;
  std::vector<int64_t> bounds;
};

struct ExchangeCost {
  int64_t bytes_received = 0;  // by this rank
  double busy_ms = 0;          // in which something was under way
  double exposed_ms = 0;       // of these, in which the compute stream (on CPUs: the rank) waited
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual std::string name() const = 0;  // "shared memory", "nccl 2.28.9", "one gpu"

  // Afterwards every rank has all rows. Views without memory are left out.
  virtual void gather(const std::vector<Gathered>& buffers) = 0;

  // The same, but later work of the compute stream sees rows before `end` only after await(end): rows arrive
  // in the order of their index, in pieces: of an option's bytes, or of more, so that there are 32 at most.
  // All buffers have the same rows. await_all() comes before any other call.
  virtual void gather_in_pieces(const std::vector<Gathered>& buffers) = 0;
  virtual void await(int64_t end) = 0;
  virtual void await_all() = 0;

  virtual void broadcast(const View& view, int root) = 0;

  // What was gathered may be overwritten from here on: nobody reads it any more.
  virtual void fence() = 0;

  // Whether nothing is enqueued by any of this, so that a step around it can be recorded once and repeated.
  virtual bool is_recordable() const { return false; }

  // Throws where a peer has failed; waits for nothing. Called once a step.
  virtual void check() = 0;
  // The host waits until all of this is done, with the deadline.
  virtual void finish() = 0;

  virtual ExchangeCost take_cost() = 0;  // since the last call; waits for what is under way
};

// CPU ranks, over memory of comm.allocate(): where ranks share it, a gather is a barrier.
std::unique_ptr<Exchange> make_cpu_exchange(Communicator& comm);

}  // namespace saemill
