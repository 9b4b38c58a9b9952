#include "control/monitor/nvml/nvml_session.h"

#include <time.h>

#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "control/monitor/nvml/pci_gpus.h"

namespace saemill::nvml {
namespace {

constexpr double kRetryLibrarySeconds = 30;
constexpr size_t kMostEvents = 4096;

double thread_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

struct Session::Shared {
  mutable std::mutex mutex;
  std::condition_variable wake, done;
  bool stop = false, requested = false, ended = false, running = false;
  std::shared_ptr<Library> library;
  double library_tried = -kRetryLibrarySeconds;
  SessionStatus status;
  std::vector<GpuEvent> events;
};

namespace {
// The thread of the process, if it still runs.
std::mutex one_mutex;
}  // namespace

const char* to_string(SessionStatus::State state) {
  constexpr std::array<const char*, 5> kNames = {"starting", "absent", "failing", "answering", "hanging"};
  return kNames[static_cast<size_t>(state)];
}

Session::Session() : shared_(std::make_shared<Shared>()) {
  start();
}

bool Session::start() {
  static std::weak_ptr<Shared> one;
  const std::lock_guard lock(one_mutex);
  if (shared_->running) return true;
  if (const auto other = one.lock(); other && other != shared_) {
    const std::lock_guard other_lock(other->mutex);
    if (other->running && !other->ended) return false;
  }
  one = shared_;
  {
    const std::lock_guard own_lock(shared_->mutex);
    shared_->running = true;
  }
  std::thread([shared = shared_] { loop(shared); }).detach();
  return true;
}

Session::~Session() {
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->wake.notify_all();
  if (shared_->running)
    shared_->done.wait_for(lock, std::chrono::milliseconds(500), [this] { return shared_->ended; });
}

void Session::loop(const std::shared_ptr<Shared>& shared) {
  std::unique_ptr<Reader> reader;
  while (true) {
    {
      std::unique_lock lock(shared->mutex);
      shared->wake.wait(lock, [&] { return shared->stop || shared->requested; });
      if (shared->stop) break;
      shared->requested = false;
    }
    read_once(*shared, reader);
  }
  reader.reset();  // outside the lock: nvmlShutdown may hang too
  const std::lock_guard lock(shared->mutex);
  shared->ended = true;
  shared->done.notify_all();
}

void Session::read_once(Shared& shared, std::unique_ptr<Reader>& reader) {
  const double now = monotonic_seconds();
  std::string why;
  if (!reader && now - shared.library_tried >= kRetryLibrarySeconds) {
    shared.library_tried = now;
    auto library = Library::open(why);
    if (library) reader = std::make_unique<Reader>(library);
    const std::lock_guard lock(shared.mutex);
    shared.library = std::move(library);
    if (!reader) shared.status.message = "no NVIDIA driver: " + why;
  }
  std::shared_ptr<Reading> reading;
  if (reader) reading = std::make_shared<Reading>(reader->read(now, epoch_seconds()));
  const std::lock_guard lock(shared.mutex);
  SessionStatus& status = shared.status;
  status.read_at = now;
  status.cpu_seconds = thread_cpu_seconds();
  using State = SessionStatus::State;
  if (!reading) {
    status.state = State::absent;
  } else if (reading->result == kDriverNotLoaded && !may_have_gpu()) {
    status.state = State::absent;
    status.message =
        "no NVIDIA driver: its library is there, but no driver is loaded, and no NVIDIA GPU is on the PCI "
        "bus";
    status.library = shared.library->path();
  } else {
    status.state = reading->result == kSuccess ? State::answering : State::failing;
    status.message = reading->result == kSuccess ? "" : describe(reading->result);
    status.costs = shared.library->costs();
    status.missing = shared.library->missing();
    status.library = shared.library->path();
    auto& events = shared.events;
    events.insert(events.end(), reading->events.begin(), reading->events.end());
    if (events.size() > kMostEvents)
      events.erase(events.begin(), events.end() - static_cast<std::ptrdiff_t>(kMostEvents));
    status.reading = std::move(reading);
  }
  shared.done.notify_all();
}

void Session::request() {
  if (!start()) return;
  const std::lock_guard lock(shared_->mutex);
  shared_->requested = true;
  shared_->wake.notify_all();
}

SessionStatus Session::status() const {
  const std::lock_guard lock(shared_->mutex);
  SessionStatus status = shared_->status;
  if (!shared_->running) {
    status.state = SessionStatus::State::hanging;
    status.message =
        "an earlier NVML session of this process still hangs in the driver; no second one is started";
  } else if (shared_->library && shared_->library->hanging_for() >= kHangSeconds) {
    status.state = SessionStatus::State::hanging;
    const char* call = shared_->library->current_call();
    status.message = fmt::format("the driver has not answered {} for {:.0f} s",
                                 call != nullptr ? call : "a call", shared_->library->hanging_for());
  }
  return status;
}

std::vector<GpuEvent> Session::take_events() {
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->events, {});
}

SessionStatus Session::read_now(double timeout) {
  const double asked = monotonic_seconds();
  request();
  {
    std::unique_lock lock(shared_->mutex);
    shared_->done.wait_for(lock, std::chrono::duration<double>(timeout), [&] {
      // A reading that was under way began before; another follows it.
      return shared_->status.read_at >= asked;
    });
  }
  return status();
}

}  // namespace saemill::nvml
