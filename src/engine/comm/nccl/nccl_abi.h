// The part of NCCL's binary interface that saemill uses, in our own declarations, because the library is
// loaded at run time and builds without its header. tests/gpu_exchange compares it with nccl.h where that is.
#pragma once

#include <climits>
#include <cstddef>

namespace saemill::nccl {

struct CommObject;
using Comm = CommObject*;

// Results of all functions.
constexpr int kSuccess = 0;
constexpr int kUnhandledCudaError = 1;
constexpr int kSystemError = 2;
constexpr int kInternalError = 3;
constexpr int kInvalidArgument = 4;
constexpr int kInvalidUsage = 5;
constexpr int kRemoteError = 6;
constexpr int kInProgress = 7;

// Data types.
constexpr int kUint8 = 1;

struct UniqueId {
  char internal[128];
};

// As of 2.18, and the member that 2.26 has put into the padding at its end: 2.26 reads it whatever the
// version says. Later versions append members and take the size for what the caller knows.
struct Config {
  size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef;
  unsigned version = 21800;
  int blocking = INT_MIN;  // INT_MIN and null leave a choice to NCCL
  int cga_cluster_size = INT_MIN;
  int min_ctas = INT_MIN;
  int max_ctas = INT_MIN;
  const char* net_name = nullptr;
  int split_share = INT_MIN;
  int traffic_class = INT_MIN;
};
static_assert(sizeof(Config) == 48 && offsetof(Config, traffic_class) == 44, "no padding is left unset");

}  // namespace saemill::nccl
