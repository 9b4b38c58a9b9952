// The head of the segment that the ranks of one machine share: who is there, how far each has come, and
// whether all must stop. Plain memory that starts as zeros, so ranks may arrive in any order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace saemill {

inline constexpr int kMaxRanks = 256;
inline constexpr size_t kScratchBytes = size_t{4} << 20;  // of one rank, for memory that is not shared
inline constexpr size_t kReasonBytes = 512;

// What a rank says before it waits; read by the others only after it has arrived.
struct RankSlot {
  alignas(64) std::atomic<uint64_t> arrived;  // collectives entered, in phases
  std::atomic<int32_t> pid;
  std::atomic<uint32_t> operation;  // of the phase entered last
  std::atomic<uint64_t> bytes;
};

struct ControlPage {
  alignas(64) std::atomic<uint32_t> bell;  // futex: changes with each arrival of a last rank, and with abort
  std::atomic<uint32_t> aborted;           // 0: no; 1: the reason is being written; 2: it is there
  char reason[kReasonBytes];
  alignas(64) std::atomic<uint64_t> count[2];  // arrivals of even and odd phases
  std::atomic<uint64_t> phase;                 // phases completed
  RankSlot ranks[kMaxRanks];
};

static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace saemill
