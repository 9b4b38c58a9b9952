#include "clique.h"

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

using namespace saemill::nccl;
using fake_nccl::Call;
using fake_nccl::Clique;
using fake_nccl::Round;

namespace {

std::shared_ptr<Round> round_of(Clique& clique, int number, const std::vector<Call>& calls) {
  std::shared_ptr<Round>& round = clique.rounds[number];
  if (round) return round;
  round = std::make_shared<Round>();
  round->calls = calls;
  round->sent.resize(static_cast<size_t>(clique.size));
  for (const Call& call : calls)
    round->staged.emplace_back(call.bytes * (call.all_gather ? static_cast<size_t>(clique.size) : 1));
  return round;
}

bool alike(const std::vector<Call>& a, const std::vector<Call>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].all_gather != b[i].all_gather || a[i].bytes != b[i].bytes || a[i].root != b[i].root)
      return false;
  return true;
}

}  // namespace

// What this rank sends leaves its memory when its stream comes there.
int CommObject::post(std::vector<Call> calls) {
  if (calls.empty()) return kSuccess;
  const int number = rounds++;
  const auto& scenario = clique->scenario;
  if (number == scenario.refused_at && scenario.concerns(rank)) return kInvalidUsage;
  const std::lock_guard lock(clique->mutex);
  const auto round = round_of(*clique, number, calls);
  round->mismatch = round->mismatch || !alike(round->calls, calls);
  void* stream = calls[0].stream;
  for (size_t i = 0; i < calls.size() && !round->mismatch; ++i) {
    const Call call = calls[i];
    if (call.stream != stream) return kInvalidUsage;
    if (!call.all_gather && call.root != rank) continue;
    const size_t offset = call.all_gather ? static_cast<size_t>(rank) * call.bytes : 0;
    clique->device->enqueue(stream, "NCCL sending", [round, i, offset, call] {
      std::memcpy(round->staged[i].data() + offset, call.send, call.bytes);
    });
  }
  if (number == scenario.stuck_at) enqueue_stuck(stream);
  round->sent[static_cast<size_t>(rank)] = clique->device->mark(stream);
  ++round->posted;
  waiting = std::move(calls);
  return kInProgress;
}

// Not for ever: a test that fails to abort it shall end, too. Short parts let other ranks have their turn.
void CommObject::enqueue_stuck(void* stream) {
  for (int i = 0; i < 3000; ++i)
    clique->device->enqueue(stream, "NCCL waiting for a peer", [ended = ended] {
      if (!*ended) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    });
}

int CommObject::state() {
  if (error) return kRemoteError;
  if (initializing) {
    const std::lock_guard lock(clique->mutex);
    const bool hangs = clique->scenario.init_hangs && clique->scenario.concerns(rank);
    initializing = hangs || clique->joined < clique->size;
    return initializing ? kInProgress : kSuccess;
  }
  return waiting.empty() ? kSuccess : receive();
}

// Once all ranks have posted the group, as a first operation does that connects them.
int CommObject::receive() {
  const std::lock_guard lock(clique->mutex);
  const int number = rounds - 1;
  const auto round = clique->rounds.at(number);
  if (round->mismatch) return kInvalidUsage;
  if (round->posted < clique->size) return kInProgress;
  void* stream = waiting[0].stream;
  for (const auto& sent : round->sent) clique->device->wait(stream, sent);
  for (size_t i = 0; i < waiting.size(); ++i)
    clique->device->enqueue(stream, "NCCL receiving", [round, i, to = waiting[i].receive] {
      std::memcpy(to, round->staged[i].data(), round->staged[i].size());
    });
  waiting.clear();
  if (++round->received == clique->size) clique->rounds.erase(number);
  if (number == clique->scenario.async_error_at && clique->scenario.concerns(rank)) error = true;
  return kSuccess;
}
