// The head of the segment that the ranks of one machine share: who is there, what each has called, and
// whether all must stop. Plain memory that starts as zeros, so ranks may arrive in any order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace saemill {

inline constexpr int kMaxRanks = 256;
inline constexpr size_t kReasonBytes = 1024;

enum class Operation : uint32_t {
  join,
  allocate,
  all_gather,
  all_reduce,
  reduce_scatter,
  all_to_all,
  broadcast,
  barrier
};
const char* operation_name(Operation operation);

// What a rank calls: all must call the same.
struct Call {
  Operation operation = Operation::barrier;
  uint64_t sequence = 0;  // collectives before this one
  uint64_t bytes = 0;
  uint64_t detail = 0;  // digest of bounds, root, kind of reduction and place in the arena
  bool operator==(const Call&) const = default;
};

struct CallRecord {
  std::atomic<uint32_t> operation;
  std::atomic<uint64_t> sequence, bytes, detail;
};

// One phase is one arrival of every rank; a collective on memory that is not shared takes several. A rank
// that is ahead is ahead by one phase at most, so two records are enough.
struct RankSlot {
  alignas(64) std::atomic<uint64_t> arrived;  // phases entered
  std::atomic<int32_t> pid;                   // 0 until the rank joins
  std::atomic<uint64_t> start_time;           // with the pid names one process, though pids return
  std::atomic<int32_t> long_work;             // not 0: the others are patient (LongWork)
  CallRecord calls[2];                        // of the even and the odd phase entered last
};

struct ControlPage {
  alignas(64) std::atomic<uint32_t> bell;  // futex: changes when a last rank arrives, and with a stop
  std::atomic<uint32_t> stopped;           // 0: no; 1: the reason is being written; 2: it is there
  int32_t code;                            // an ErrorCode; valid, as reason is, once stopped is 2
  char reason[kReasonBytes];
  RankSlot ranks[kMaxRanks];
};

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "the kernel reads the bell as a plain word");

}  // namespace saemill
