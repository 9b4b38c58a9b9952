#include "engine/gpu/runtime.h"

#include <cuda_runtime_api.h>

#include "common/base/error.h"
#include "engine/gpu/cuda/check.h"
#include "engine/gpu/launch_call.h"
#include "engine/gpu/poll.h"

namespace saemill::gpu {
namespace {

cudaStream_t raw(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.native());
}
cudaEvent_t raw(const Event& event) {
  return static_cast<cudaEvent_t>(event.native());
}

bool is_done(cudaError_t result, const char* operation) {
  if (result == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check(result, operation);
  return true;
}

size_t shared_limit() {
  const size_t device = static_cast<size_t>(current_device());
  ensure(device < devices().size(), "a kernel is started on a device that does not exist");
  return devices()[device].shared_bytes;
}

}  // namespace

Memory::Memory(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* data = nullptr;
  const cudaError_t result = cudaMalloc(&data, bytes);
  if (result != cudaSuccess)
    throw_cuda_error(result, fmt::format("allocating {} bytes of device memory", bytes).c_str());
  data_ = static_cast<std::byte*>(data);
}

Memory::~Memory() {
  if (data_) cudaFree(data_);
}

PinnedMemory::PinnedMemory(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* data = nullptr;
  const cudaError_t result = cudaHostAlloc(&data, bytes, cudaHostAllocPortable);
  if (result != cudaSuccess)
    throw_cuda_error(result, fmt::format("allocating {} bytes of pinned memory", bytes).c_str());
  data_ = static_cast<std::byte*>(data);
}

PinnedMemory::~PinnedMemory() {
  if (data_) cudaFreeHost(data_);
}

Stream::Stream(Priority priority) {
  int least = 0, greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "creating a stream");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking,
                                     priority == Priority::high ? greatest : least),
        "creating a stream");
  handle_ = stream;
}

Stream::~Stream() {
  if (handle_) cudaStreamDestroy(raw(*this));
}

void Stream::synchronize() const {
  check(cudaStreamSynchronize(raw(*this)), "waiting for a stream");
}

void Stream::synchronize_within(double seconds, const char* what) const {
  poll([this] { return done(); }, seconds, what);
}

bool Stream::done() const {
  return is_done(cudaStreamQuery(raw(*this)), "work on a stream");
}

Event::Event(Timing timing) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, timing == Timing::on ? cudaEventDefault : cudaEventDisableTiming),
        "creating an event");
  handle_ = event;
}

Event::~Event() {
  if (handle_) cudaEventDestroy(raw(*this));
}

void Event::record(const Stream& stream) {
  check(cudaEventRecord(raw(*this), raw(stream)), "recording an event");
}

void Event::make_wait(const Stream& stream) const {
  check(cudaStreamWaitEvent(raw(stream), raw(*this), 0), "making a stream wait for an event");
}

void Event::synchronize() const {
  check(cudaEventSynchronize(raw(*this)), "waiting for an event");
}

void Event::synchronize_within(double seconds, const char* what) const {
  poll([this] { return done(); }, seconds, what);
}

bool Event::done() const {
  return is_done(cudaEventQuery(raw(*this)), "work before an event");
}

double elapsed_ms(const Event& start, const Event& end) {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, raw(start), raw(end)), "measuring between two events");
  return static_cast<double>(ms);
}

void copy(void* dst, const void* src, size_t bytes, const Stream& stream) {
  if (bytes > 0) check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, raw(stream)), "copying");
}

void copy_and_wait(void* dst, const void* src, size_t bytes, const Stream& stream) {
  copy(dst, src, bytes, stream);
  stream.synchronize();
}

void fill(void* dst, unsigned char byte, size_t bytes, const Stream& stream) {
  if (bytes > 0) check(cudaMemsetAsync(dst, byte, bytes, raw(stream)), "filling memory");
}

Graph::Graph(const Stream& stream, const std::function<void()>& enqueue) {
  check(cudaStreamBeginCapture(raw(stream), cudaStreamCaptureModeThreadLocal), "recording a graph");
  cudaGraph_t graph = nullptr;
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(raw(stream), &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(raw(stream), &graph), "recording a graph");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t result = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(result, "making a graph executable");
  handle_ = executable;
}

Graph::~Graph() {
  if (handle_) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(handle_));
}

void Graph::launch(const Stream& stream) const {
  ensure(handle_ != nullptr, "an empty graph is launched");
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(handle_), raw(stream)), "launching a graph");
}

void launch_call(const Stream& stream, const char* name, const void* kernel, const Grid& grid,
                 void** arguments) {
  if (!check_grid(name, grid, shared_limit())) return;
  cudaError_t result = cudaSuccess;
  if (asks_for_shared(grid.shared_bytes))
    result = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(grid.shared_bytes));
  const auto side = [](int64_t n) { return static_cast<unsigned>(n); };
  const dim3 blocks(side(grid.blocks.x), side(grid.blocks.y), side(grid.blocks.z));
  if (result == cudaSuccess)
    result =
        cudaLaunchKernel(kernel, blocks, dim3(side(grid.threads)), arguments, grid.shared_bytes, raw(stream));
  if (result != cudaSuccess) throw_cuda_error(result, fmt::format("launching kernel {}", name).c_str());
}

}  // namespace saemill::gpu
