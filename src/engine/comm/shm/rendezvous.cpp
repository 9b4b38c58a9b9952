#include "engine/comm/shm/rendezvous.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "common/base/clock.h"
#include "common/base/proc.h"

namespace saemill {
namespace {

constexpr int kSpins = 2000;
constexpr timespec kSlice{0, 50'000'000};  // between looks at the peers
constexpr double kReasonSeconds = 1;       // for a rank to finish writing the reason of a stop

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::string describe(const Call& call) {
  return fmt::format("{} #{} of {} bytes", operation_name(call.operation), call.sequence, call.bytes);
}

std::string describe_state(int pid, char state) {
  if (pid == 0) return "it has not joined";
  if (state == 'T' || state == 't') return fmt::format("pid {} is stopped: state {}", pid, state);
  return fmt::format("pid {}, state {}", pid, state);
}

}  // namespace

const char* operation_name(Operation operation) {
  switch (operation) {
    case Operation::join:
      return "join";
    case Operation::allocate:
      return "allocate";
    case Operation::all_gather:
      return "all_gather";
    case Operation::all_reduce:
      return "all_reduce";
    case Operation::reduce_scatter:
      return "reduce_scatter";
    case Operation::all_to_all:
      return "all_to_all";
    case Operation::broadcast:
      return "broadcast";
    case Operation::barrier:
      return "barrier";
  }
  return "unknown operation";
}

Rendezvous::Rendezvous(ControlPage& page, int rank, int size, double deadline_seconds)
    : page_(page), rank_(rank), size_(size), deadline_(deadline_seconds) {
  // With more ranks than cores a spinning rank only keeps the late one from running.
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) >= size) spins_ = kSpins;
  start_time_ = static_cast<uint64_t>(process_start_time(::getpid()));
}

void Rendezvous::join() {
  RankSlot& mine = page_.ranks[rank_];
  int32_t nobody = 0;
  if (!mine.pid.compare_exchange_strong(nobody, static_cast<int32_t>(::getpid())))
    stop_and_throw(ErrorCode::internal, fmt::format("rank {} joins twice: pid {} and pid {}", rank_,
                                                    static_cast<int>(nobody), ::getpid()));
  mine.start_time.store(start_time_, std::memory_order_release);
  enter({Operation::join, 0, static_cast<uint64_t>(size_), 0});
}

void Rendezvous::enter(const Call& call) {
  check();
  const uint64_t phase = phase_++;
  RankSlot& mine = page_.ranks[rank_];
  CallRecord& record = mine.calls[phase % 2];
  record.operation.store(static_cast<uint32_t>(call.operation), std::memory_order_relaxed);
  record.sequence.store(call.sequence, std::memory_order_relaxed);
  record.bytes.store(call.bytes, std::memory_order_relaxed);
  record.detail.store(call.detail, std::memory_order_relaxed);
  // Sequentially consistent, as the loads of all_arrived() are: of two ranks that arrive at once at least one
  // sees both and rings. There is no counter that a rank could leave half changed when it is killed.
  mine.arrived.store(phase + 1, std::memory_order_seq_cst);
  if (all_arrived(phase))
    ring();
  else
    wait(phase, call);
  check_agreement(phase);
  check();
}

bool Rendezvous::all_arrived(uint64_t phase) const {
  for (int r = 0; r < size_; ++r)
    if (page_.ranks[r].arrived.load(std::memory_order_seq_cst) <= phase) return false;
  return true;
}

Call Rendezvous::call_of(int rank, uint64_t phase) const {
  const CallRecord& record = page_.ranks[rank].calls[phase % 2];
  return {static_cast<Operation>(record.operation.load(std::memory_order_relaxed)),
          record.sequence.load(std::memory_order_relaxed), record.bytes.load(std::memory_order_relaxed),
          record.detail.load(std::memory_order_relaxed)};
}

// Every rank compares, so every rank fails even if one of them dies here. The records hold still: none is
// overwritten before this rank has arrived at the next phase.
void Rendezvous::check_agreement(uint64_t phase) {
  const Call first = call_of(0, phase);
  for (int r = 1; r < size_; ++r) {
    const Call other = call_of(r, phase);
    if (other == first) continue;
    Call same = other;
    same.detail = first.detail;
    stop_and_throw(
        ErrorCode::internal,
        fmt::format("ranks call different collectives: rank 0 calls {}, rank {} calls {}{}", describe(first),
                    r, describe(other),
                    same == first ? " with other bounds, root, reduction or place in shared memory" : ""));
  }
}

void Rendezvous::wait(uint64_t phase, const Call& call) {
  const double start = monotonic_seconds();
  due_.assign(static_cast<size_t>(size_), start + deadline_);
  for (int spin = 0; spin < spins_ && !all_arrived(phase); ++spin) relax();
  for (;;) {
    const uint32_t bell = page_.bell.load(std::memory_order_acquire);
    if (all_arrived(phase)) break;
    check();
    ::syscall(SYS_futex, &page_.bell, FUTEX_WAIT, bell, &kSlice, nullptr, 0);
    if (all_arrived(phase)) break;
    check_peers(phase, call, monotonic_seconds());
  }
  waited_ += monotonic_seconds() - start;
}

void Rendezvous::check_peers(uint64_t phase, const Call& call, double now) {
  check();
  std::string gone, late;
  for (int r = 0; r < size_; ++r) {
    const RankSlot& slot = page_.ranks[r];
    if (slot.arrived.load(std::memory_order_seq_cst) > phase) continue;
    const int pid = slot.pid.load();
    const uint64_t start_time = slot.start_time.load(std::memory_order_acquire);
    // In tests ranks are threads of this process: then there is nothing to ask about.
    const bool known = pid != 0 && pid != ::getpid() && start_time != 0 && start_time_ != 0;
    const ProcessStat status = known ? process_stat(pid) : ProcessStat{};
    const bool stopped = status.state == 'T' || status.state == 't';
    double& due = due_[static_cast<size_t>(r)];
    if (slot.long_work.load() != 0 && !stopped) due = now + deadline_;
    // It may have arrived and ended, both after the first look.
    if (slot.arrived.load(std::memory_order_seq_cst) > phase) continue;
    if (known && has_ended(status, static_cast<int64_t>(start_time)))
      gone += fmt::format("{}rank {} (pid {}) is gone", gone.empty() ? "" : "; ", r, pid);
    else if (now > due)
      late += fmt::format("{}rank {} did not reach {} #{} within {:g} s ({})", late.empty() ? "" : "; ", r,
                          operation_name(call.operation), call.sequence, deadline_,
                          describe_state(pid, status.state));
  }
  if (!gone.empty())
    stop_and_throw(ErrorCode::retry, fmt::format("{}; the others wait for it in {} #{}", gone,
                                                 operation_name(call.operation), call.sequence));
  if (!late.empty()) stop_and_throw(ErrorCode::retry, late);
}

void Rendezvous::stop(ErrorCode code, const std::string& reason) noexcept {
  uint32_t running = 0;
  if (page_.stopped.compare_exchange_strong(running, 1)) {
    page_.code = static_cast<int32_t>(code);
    std::strncpy(page_.reason, reason.c_str(), kReasonBytes - 1);  // the page's last byte stays zero
    page_.stopped.store(2, std::memory_order_release);
  }
  ring();
}

void Rendezvous::check() const {
  if (page_.stopped.load(std::memory_order_acquire) == 0) return;
  const double start = monotonic_seconds();
  while (page_.stopped.load(std::memory_order_acquire) == 1) {
    if (monotonic_seconds() - start > kReasonSeconds)
      throw Error(ErrorCode::retry, "a rank stopped the others and was lost before it had said why");
    ::sched_yield();
  }
  throw Error(static_cast<ErrorCode>(page_.code), page_.reason[0] == '\0' ? "aborted" : page_.reason);
}

void Rendezvous::stop_and_throw(ErrorCode code, const std::string& reason) {
  stop(code, reason);
  check();
  throw Error(code, reason);
}

void Rendezvous::ring() noexcept {
  page_.bell.fetch_add(1, std::memory_order_acq_rel);
  ::syscall(SYS_futex, &page_.bell, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace saemill
