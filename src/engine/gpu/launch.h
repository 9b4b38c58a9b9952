// The one way to start a kernel.
//
//   launch(stream, "decode_rows", decode_rows<float>, {{rows}, 256, shared_bytes}, x, n, out);
//
// Included by files that are compiled by nvcc, or by the host compiler against the emulation.
#pragma once

#include <cstdint>
#include <tuple>
#include <type_traits>

#include "engine/gpu/kernel.h"
#include "engine/gpu/launch_call.h"
#include "engine/gpu/runtime.h"

namespace saemill::gpu {

// An argument is passed as it is or widened, never narrowed: a 64-bit size given for an int is refused here.
template <typename Parameter, typename Argument>
concept PassesTo = requires(Argument&& argument) {
  Parameter{std::forward<Argument>(argument)};
};

// Enqueues the kernel on the stream, also inside a graph's recording. Nothing is started where the grid has
// no block. Error{internal} where the device's limits do not allow the grid.
template <typename... Parameters, typename... Arguments>
void launch(const Stream& stream, const char* name, void (*kernel)(Parameters...), const Grid& grid,
            Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "a kernel gets as many arguments as it takes");
  static_assert((PassesTo<Parameters, Arguments> && ...), "an argument does not fit its parameter");
  names::start(stream, name, kernel, grid, std::tuple<Parameters...>(std::forward<Arguments>(arguments)...));
}

}  // namespace saemill::gpu
