#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <utility>

#include "clique.h"

#define FAKE_NCCL_API extern "C" __attribute__((visibility("default")))

#ifndef FAKE_NCCL_VERSION
#define FAKE_NCCL_VERSION 22809
#endif

using namespace saemill::nccl;
using fake_nccl::Call;
using fake_nccl::Clique;

extern char** environ;

namespace {

struct State {
  std::mutex mutex;
  fake_nccl::Device* device = nullptr;
  fake_nccl::Scenario scenario;
  std::map<int, std::shared_ptr<Clique>> cliques;  // by id
  int ids = 0;
};

// Never destroyed: an abort that hangs may outlive the rest of the process.
State& shared() {
  static State* const value = new State;
  return *value;
}

void log(const std::string& line) {
  const std::lock_guard lock(shared().mutex);
  if (shared().scenario.log.empty()) return;
  if (std::FILE* file = std::fopen(shared().scenario.log.c_str(), "a")) {
    std::fprintf(file, "%s\n", line.c_str());
    std::fclose(file);
  }
}

void log(Comm comm, const std::string& line) {
  log("rank " + std::to_string(comm->rank) + ": " + line);
}

// Groups belong to the thread that opens them.
thread_local int depth = 0;
thread_local Comm group_comm = nullptr;
thread_local std::vector<Call> group_calls;

int end_group() {
  const Comm comm = std::exchange(group_comm, nullptr);
  std::vector<Call> calls = std::exchange(group_calls, {});
  return comm ? comm->post(std::move(calls)) : kSuccess;
}

int add(Comm comm, const Call& call) {
  if (group_comm && group_comm != comm) return kInvalidUsage;  // the fake knows one at a time
  if (comm->initializing || comm->error || !comm->waiting.empty()) return kInvalidUsage;
  group_comm = comm;
  group_calls.push_back(call);
  return depth > 0 ? kSuccess : end_group();
}

}  // namespace

FAKE_NCCL_API void fake_nccl_begin(fake_nccl::Device* device, const char* scenario) {
  const std::lock_guard lock(shared().mutex);
  shared().device = device;
  shared().scenario = fake_nccl::parse_scenario(scenario);
}

FAKE_NCCL_API int ncclGetVersion(int* version) {
  log("ncclGetVersion");
  *version = FAKE_NCCL_VERSION;
  return kSuccess;
}

FAKE_NCCL_API const char* ncclGetErrorString(int result) {
  switch (result) {
    case kSuccess:
      return "no error";
    case kInvalidUsage:
      return "invalid usage";
    case kRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "another error";
  }
}

FAKE_NCCL_API const char* ncclGetLastError(Comm comm) {
  return comm && comm->error ? "the fake lost a peer" : "";
}

FAKE_NCCL_API int ncclGetUniqueId(UniqueId* id) {
  log("ncclGetUniqueId");
  State& state = shared();
  const std::lock_guard lock(state.mutex);
  const int number = ++state.ids;
  std::memset(id, 0, sizeof *id);
  std::memcpy(id->internal, &number, sizeof number);
  const auto clique = std::make_shared<Clique>();
  clique->scenario = state.scenario;
  clique->device = state.device;
  state.cliques[number] = clique;
  return kSuccess;
}

FAKE_NCCL_API int ncclCommInitRankConfig(Comm* comm, int size, UniqueId id, int rank, Config* config) {
  if (config->magic != 0xcafebeef || config->size < sizeof(Config) || config->blocking != 0 ||
      config->traffic_class != INT_MIN)
    return kInvalidArgument;
  int number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  *comm = new CommObject;
  (*comm)->rank = rank;
  {
    const std::lock_guard lock(shared().mutex);
    (*comm)->clique = shared().cliques.at(number);
  }
  log(*comm, "ncclCommInitRankConfig");
  for (char** entry = environ; *entry; ++entry)
    if (std::strncmp(*entry, "NCCL_", 5) == 0) log(*comm, *entry);
  const std::lock_guard lock((*comm)->clique->mutex);
  (*comm)->clique->size = size;
  ++(*comm)->clique->joined;
  return kInProgress;
}

FAKE_NCCL_API int ncclCommGetAsyncError(Comm comm, int* state) {
  *state = comm->state();
  return kSuccess;
}

FAKE_NCCL_API int ncclCommFinalize(Comm comm) {
  log(comm, "ncclCommFinalize");
  return kInProgress;
}

FAKE_NCCL_API int ncclCommDestroy(Comm comm) {
  log(comm, "ncclCommDestroy");
  delete comm;
  return kSuccess;
}

FAKE_NCCL_API int ncclCommAbort(Comm comm) {
  log(comm, "ncclCommAbort");
  *comm->ended = true;
  if (comm->clique->scenario.concerns(comm->rank))
    std::this_thread::sleep_for(std::chrono::duration<double>(comm->clique->scenario.abort_seconds));
  log(comm, "aborted");
  delete comm;  // what it enqueued does not need it
  return kSuccess;
}

FAKE_NCCL_API int ncclGroupStart() {
  ++depth;
  return kSuccess;
}

FAKE_NCCL_API int ncclGroupEnd() {
  if (depth == 0) return kInvalidUsage;
  return --depth > 0 ? kSuccess : end_group();
}

FAKE_NCCL_API int ncclBroadcast(const void* send, void* receive, size_t count, int type, int root, Comm comm,
                                void* stream) {
  log(comm, "ncclBroadcast " + std::to_string(count) + " bytes from rank " + std::to_string(root));
  if (type != kUint8) return kInvalidArgument;
  return add(comm, {false, static_cast<const std::byte*>(send), static_cast<std::byte*>(receive), count, root,
                    stream});
}

FAKE_NCCL_API int ncclAllGather(const void* send, void* receive, size_t count, int type, Comm comm,
                                void* stream) {
  log(comm, "ncclAllGather " + std::to_string(count) + " bytes each");
  if (type != kUint8) return kInvalidArgument;
  return add(comm,
             {true, static_cast<const std::byte*>(send), static_cast<std::byte*>(receive), count, 0, stream});
}
