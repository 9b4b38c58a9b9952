// NCCL, opened at run time. It stays loaded until the process ends: its threads may still run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <type_traits>

#include "engine/comm/nccl/nccl_abi.h"

namespace saemill::nccl {

constexpr int kLeastVersion = 21800;  // 2.18

// X(member, name in the library, type). Streams are cudaStream_t.
#define SAEMILL_NCCL_SYMBOLS(X)                                                                        \
  X(get_unique_id, ncclGetUniqueId, int(UniqueId*))                                                    \
  X(error_string, ncclGetErrorString, const char*(int))                                                \
  X(last_error, ncclGetLastError, const char*(Comm))                                                   \
  X(comm_init_rank_config, ncclCommInitRankConfig, int(Comm*, int, UniqueId, int, Config*))            \
  X(comm_get_async_error, ncclCommGetAsyncError, int(Comm, int*))                                      \
  X(comm_finalize, ncclCommFinalize, int(Comm))                                                        \
  X(comm_destroy, ncclCommDestroy, int(Comm))                                                          \
  X(comm_abort, ncclCommAbort, int(Comm))                                                              \
  X(group_start, ncclGroupStart, int())                                                                \
  X(group_end, ncclGroupEnd, int())                                                                    \
  X(broadcast, ncclBroadcast, int(const void*, void*, size_t, int type, int root, Comm, void* stream)) \
  X(all_gather, ncclAllGather, int(const void*, void*, size_t, int type, Comm, void* stream))

class Library {
 public:
  // Error{bad_config} where there is no such library, or it is too old or lacks a function.
  static std::shared_ptr<const Library> open(const std::string& file);

  int version() const { return version_; }  // 22809 is 2.28.9

#define SAEMILL_NCCL_MEMBER(member, symbol, type) std::add_pointer_t<type> member = nullptr;
  SAEMILL_NCCL_SYMBOLS(SAEMILL_NCCL_MEMBER)
#undef SAEMILL_NCCL_MEMBER

  // A result in NCCL's words. `comm` may be null.
  std::string describe(int result, Comm comm) const;

 private:
  Library() = default;
  int version_ = 0;
};

std::string version_text(int version);  // "2.28.9"

// Puts variables of the configuration into this process's environment, where NCCL looks for them when it is
// first used. Error{bad_config} for a name that is not NCCL's, and where the environment makes NCCL block.
void set_variables(const std::map<std::string, std::string>& variables);

}  // namespace saemill::nccl
