// The thin layer between saemill and CUDA: devices, memory, streams, events, graphs. Plain C++; implemented
// by cuda/ (CUDA's runtime library), by no_cuda.cpp where the build has no CUDA, and by tests/cuda_emulation
// on the CPU.
//
// Errors: Error{retry} where the device is out of memory, lost or broken; Error{bad_config} where there is no
// driver or no CUDA; Error{internal} for misuse. The text names the operation, the device and CUDA's name of
// the error. Work on a stream fails late: at the next call that waits for it. Destructors do not throw.
// Threads: functions may be called from any thread; one object is used by one thread at a time, except that
// several threads may enqueue on, or wait for, the same stream or event.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace saemill::gpu {

struct Device {
  int index = 0;           // as CUDA counts, after CUDA_VISIBLE_DEVICES
  std::string uuid;        // "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", as the driver's tools print it
  std::string name;        // "NVIDIA H200"
  std::string pci_bus_id;  // "0000:1b:00.0"
  int capability_major = 0;
  int capability_minor = 0;
  int multiprocessors = 0;
  size_t memory_bytes = 0;
  size_t l2_bytes = 0;
  size_t shared_bytes = 0;  // of one block, static and dynamic, after opting in
  int driver_version = 0;   // 13000 is 13.0
  int runtime_version = 0;
};

// Why no GPU can be used, as text for a person; empty where one can. Creates no context.
std::string unavailable();

// All visible devices; empty where there are none. Read once per process. Creates no context.
const std::vector<Device>& devices();

// The device of this thread's following calls (0 until then).
void use_device(int index);
int current_device();

struct MemoryInfo {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
};
MemoryInfo memory_info();  // of the current device, all processes together

// Bytes of the current device, aligned to 256 or more, of undefined content. Freeing waits for the device.
class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    swap(other);
    return *this;
  }

  std::byte* data() const { return data_; }  // not to be read by the host
  size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  void swap(Memory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// Page-locked host bytes, aligned to 64 or more, of undefined content; kernels can read and write them too.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(size_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept { swap(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    swap(other);
    return *this;
  }

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  void swap(PinnedMemory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// A queue of work of the current device, done in order. Streams are ordered among each other by events only
// (there is no default stream). Destroying it lets what is enqueued finish.
class Stream {
 public:
  enum class Priority { normal, high };

  Stream() : Stream(Priority::normal) {}
  explicit Stream(Priority priority);
  ~Stream();
  Stream(Stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  void synchronize() const;
  // Polls; Error{retry} that names `what` when it is not done within so many seconds.
  void synchronize_within(double seconds, const char* what) const;
  bool done() const;                        // whether all enqueued work is; does not wait
  void* native() const { return handle_; }  // cudaStream_t

 private:
  void* handle_ = nullptr;
};

// A mark in a stream. Waiting for one that was never recorded is no wait.
class Event {
 public:
  enum class Timing { off, on };

  Event() : Event(Timing::off) {}
  explicit Event(Timing timing);
  ~Event();
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  void record(const Stream& stream);           // on the event's device
  void make_wait(const Stream& stream) const;  // later work of the stream starts after the latest record
  void synchronize() const;                    // the host waits
  void synchronize_within(double seconds, const char* what) const;
  bool done() const;
  void* native() const { return handle_; }  // cudaEvent_t

 private:
  void* handle_ = nullptr;
};

// Between two timed, recorded and done events.
double elapsed_ms(const Event& start, const Event& end);

// Enqueues a copy between device and pinned memory, any direction, also between devices. Other host memory is
// misuse, because such a copy is not asynchronous: use copy_and_wait.
void copy(void* dst, const void* src, size_t bytes, const Stream& stream);
// The same for any memory, after what the stream holds; returns when it is done.
void copy_and_wait(void* dst, const void* src, size_t bytes, const Stream& stream);
// Enqueues setting device memory.
void fill(void* dst, unsigned char byte, size_t bytes, const Stream& stream);

// Enqueued work, recorded once and started with one call. Addresses and argument values are those of the
// recording, so what it uses must outlive it.
class Graph {
 public:
  Graph() = default;
  // Records what `enqueue` puts on the stream, and on others that it forks to and joins from by events.
  // Nothing runs. Inside, synchronizing, allocating and freeing are errors. What is recorded should have run
  // once before, because kernels and libraries are loaded at their first use.
  Graph(const Stream& stream, const std::function<void()>& enqueue);
  ~Graph();
  Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  explicit operator bool() const { return handle_ != nullptr; }
  void launch(const Stream& stream) const;

 private:
  void* handle_ = nullptr;
};

}  // namespace saemill::gpu
