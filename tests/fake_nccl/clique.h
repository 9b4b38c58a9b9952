// The ranks that joined with one id, and what they have asked for.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/comm/nccl/nccl_abi.h"
#include "fake_nccl.h"
#include "scenario.h"

namespace fake_nccl {

struct Call {
  bool all_gather = false;
  const std::byte* send = nullptr;
  std::byte* receive = nullptr;
  size_t bytes = 0;  // of one rank
  int root = 0;
  void* stream = nullptr;
};

// What the ranks do in their n-th group.
struct Round {
  std::vector<Call> calls;                     // of the first rank that came, for comparison
  std::vector<std::vector<std::byte>> staged;  // for each call, what its senders gave
  std::vector<std::shared_ptr<void>> sent;     // by rank; null: it has not come
  int posted = 0;
  int received = 0;
  bool mismatch = false;
};

struct Clique {
  std::mutex mutex;
  int size = 0;
  int joined = 0;
  Scenario scenario;
  Device* device = nullptr;
  std::map<int, std::shared_ptr<Round>> rounds;
};

}  // namespace fake_nccl

// NCCL's communicator. Used by one thread at a time, but for `ended`.
struct saemill::nccl::CommObject {
  std::shared_ptr<fake_nccl::Clique> clique;
  int rank = 0;
  int rounds = 0;  // that this rank has posted
  bool initializing = true;
  bool error = false;
  std::vector<fake_nccl::Call> waiting;  // the calls of a posted group that are not in the stream yet
  std::shared_ptr<std::atomic<bool>> ended = std::make_shared<std::atomic<bool>>(false);

  int post(std::vector<fake_nccl::Call> calls);
  int state();

 private:
  void enqueue_stuck(void* stream);
  int receive();
};
