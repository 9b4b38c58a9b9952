#include "engine/train/rank_device.h"

namespace saemill {

MakeDevice cpu_device(int threads) {
  return [threads](int64_t d_in, int64_t d_sae, const std::string& dtype, Communicator* comm) {
    RankDevice device;
    device.backend = make_cpu_backend(d_in, d_sae, dtype == "bf16" ? DType::bf16 : DType::f32, threads);
    if (comm != nullptr) device.exchange = make_cpu_exchange(*comm);
    return device;
  };
}

}  // namespace saemill
