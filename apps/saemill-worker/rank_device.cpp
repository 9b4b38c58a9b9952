#include "rank_device.h"

#include <sstream>

#include "common/base/error.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/comm/nccl/nccl_exchange.h"

namespace saemill {
namespace {

// "NCCL_DEBUG=INFO NCCL_ALGO=Ring"
std::map<std::string, std::string> nccl_variables(const std::string& text) {
  std::map<std::string, std::string> variables;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (!word.starts_with("NCCL_") || equals == std::string::npos)
      fail(ErrorCode::bad_config, "parallel.nccl has '{}'; accepted: NCCL_NAME=VALUE, separated by spaces",
           word);
    variables[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return variables;
}

}  // namespace

void use_gpu(const std::string& uuid) {
  if (const std::string problem = gpu::unavailable(); !problem.empty())
    fail(ErrorCode::bad_config, "{}", problem);
  const std::vector<gpu::Device>& shown = gpu::devices();
  // CUDA tells an instance's own uuid or that of the GPU it is a part of, as the driver likes. The launcher
  // has put the instance into CUDA_VISIBLE_DEVICES, and CUDA shows a process one instance at most.
  if (uuid.starts_with("MIG-") && shown.size() == 1) return gpu::use_device(shown[0].index);
  for (const gpu::Device& device : shown) {
    if (!uuid.empty() && device.uuid != uuid) continue;
    return gpu::use_device(device.index);
  }
  // Another start would be shown the same.
  fail(ErrorCode::bad_config, "CUDA shows no GPU {}; it shows {}, the first one is {}", uuid, shown.size(),
       shown[0].uuid);
}

MakeDevice gpu_device(const ParallelConfig& parallel, double deadline) {
  const auto variables = nccl_variables(parallel.nccl);
  const int64_t piece_bytes = parallel.exchange_piece_mb * 1'000'000;
  return [=](int64_t d_in, int64_t d_sae, const std::string& dtype, Communicator* comm) {
    CudaBackend cuda = make_cuda_backend(d_in, d_sae, dtype == "bf16" ? DType::bf16 : DType::f32);
    RankDevice device;
    device.memory = DeviceMemory::gpu;
    device.backend = std::move(cuda.backend);
    if (comm == nullptr) return device;
    // One rank has nothing to move.
    device.exchange = comm->size() == 1
                          ? make_cpu_exchange(*comm)
                          : make_nccl_exchange({*comm, *cuda.compute, piece_bytes, deadline, variables});
    return device;
  };
}

}  // namespace saemill
