#include "control/jobs/event_pump.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"

namespace saemill {
namespace {

constexpr int kLookMs = 1000;      // at all files, whatever inotify says
constexpr int kLookOftenMs = 40;   // where there is no inotify
constexpr double kRetryAfter = 1;  // seconds: the store is away

// How fast the newest attempt goes. Thread-safe.
class Speed {
 public:
  void measure(const AppliedEvent& event) {
    const std::lock_guard lock(mutex_);
    if (event.event == "started") first_.reset();
    const auto step = event.data.find("step");
    if (event.event != "metrics" || step == event.data.end() || !step->is_number_integer()) return;
    last_ = {step->get<int64_t>(), static_cast<double>(event.time_ms) / 1e3};
    if (!first_) first_ = last_;  // what came before it, a start, is no measure of what is to come
  }

  std::optional<double> end(int64_t total_steps) const {
    const std::lock_guard lock(mutex_);
    if (!first_ || last_.step <= first_->step || last_.time <= first_->time) return std::nullopt;
    const double step_s = (last_.time - first_->time) / static_cast<double>(last_.step - first_->step);
    return last_.time + step_s * static_cast<double>(total_steps - last_.step);
  }

 private:
  struct Point {
    int64_t step = 0;
    double time = 0;  // epoch seconds
  };
  mutable std::mutex mutex_;
  std::optional<Point> first_;
  Point last_;
};

}  // namespace

struct EventPump::Run {
  Run(Database& database, std::string training, const std::filesystem::path& path)
      : id(std::move(training)), reader(database, id, path) {}

  const std::string id;
  int watch = -1;
  std::atomic<bool> due = true;
  std::atomic<double> retry_at = 0;  // monotonic

  std::mutex mutex;  // over the reader: its events are told in order
  EventReader reader;
  bool unreadable = false;

  Speed speed;
};

EventPump::EventPump(Database& database, TrainingBoard& board,
                     std::function<void(const std::string&)> on_started)
    : database_(database),
      board_(board),
      on_started_(std::move(on_started)),
      changes_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!changes_) log_line(LogLevel::warning, "no inotify: events of trainings are looked for by the clock");
  thread_ = std::thread([this] { loop(); });
}

EventPump::~EventPump() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void EventPump::follow(const std::string& training, const std::filesystem::path& events) {
  const std::lock_guard lock(mutex_);
  auto& run = runs_[training];
  if (run) return;
  run = std::make_shared<Run>(database_, training, events);
  if (changes_) run->watch = ::inotify_add_watch(changes_.get(), events.c_str(), IN_MODIFY);
  ::eventfd_write(wake_.get(), 1);
}

void EventPump::leave(const std::string& training) {
  const std::lock_guard lock(mutex_);
  const auto found = runs_.find(training);
  if (found == runs_.end()) return;
  if (changes_ && found->second->watch >= 0) ::inotify_rm_watch(changes_.get(), found->second->watch);
  runs_.erase(found);
}

void EventPump::drain(const std::string& training) {
  std::shared_ptr<Run> run;
  {
    const std::lock_guard lock(mutex_);
    const auto found = runs_.find(training);
    if (found != runs_.end()) run = found->second;
  }
  while (run && read_once(*run)) {
  }
}

bool EventPump::read_once(Run& run) {
  const std::lock_guard lock(run.mutex);
  if (run.unreadable) return false;
  std::vector<AppliedEvent> events;
  try {
    events = run.reader.read_more();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::retry) throw;
    run.unreadable = true;
    log_line(LogLevel::error, fmt::format("training {}: {}", run.id, error.what()));
    board_.warn(run.id, "events_unreadable", error.what());
    return false;
  }
  for (const AppliedEvent& event : events) {
    run.speed.measure(event);
    if (event.event == "started") tell_started(run);
    board_.tell(run.id, event);
  }
  return !events.empty();
}

// It is not read again: where the store has just gone, the supervisor sees by RUN/status.json that it runs.
void EventPump::tell_started(const Run& run) {
  try {
    on_started_(run.id);
  } catch (const Error& error) {
    log_line(LogLevel::warning, fmt::format("training {}: {}", run.id, error.what()));
  }
}

std::optional<double> EventPump::predicted_end(const std::string& training, int64_t total_steps) const {
  const std::lock_guard lock(mutex_);
  const auto found = runs_.find(training);
  if (found == runs_.end()) return std::nullopt;
  return found->second->speed.end(total_steps);
}

std::vector<std::shared_ptr<EventPump::Run>> EventPump::runs_due(bool all) const {
  const std::lock_guard lock(mutex_);
  const double now = monotonic_seconds();
  std::vector<std::shared_ptr<Run>> due;
  for (const auto& [id, run] : runs_) {
    if ((all || run->due) && now >= run->retry_at) due.push_back(run);
  }
  return due;
}

void EventPump::loop() {
  double looked_at = 0;
  for (;;) {
    const bool more = !runs_due(false).empty();
    std::array<pollfd, 2> polled{{{wake_.get(), POLLIN, 0}, {changes_.get(), POLLIN, 0}}};
    const int timeout = more ? 0 : changes_ ? kLookMs : kLookOftenMs;
    ::poll(polled.data(), polled.size(), timeout);
    eventfd_t ignored = 0;
    ::eventfd_read(wake_.get(), &ignored);
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
    }
    mark_changed();
    const double now = monotonic_seconds();
    const bool all = now - looked_at >= (changes_ ? kLookMs : kLookOftenMs) / 1e3;
    if (all) looked_at = now;
    for (const auto& run : runs_due(all)) read_due(*run);
  }
}

// Which files inotify tells of. What it leaves out (its queue ran over) the next look at all finds.
void EventPump::mark_changed() {
  alignas(inotify_event) std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = changes_ ? ::read(changes_.get(), buffer.data(), buffer.size()) : -1;
    if (got <= 0) return;
    const std::lock_guard lock(mutex_);
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      for (const auto& [id, run] : runs_) run->due = run->due || run->watch == event->wd;
      at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
    }
  }
}

void EventPump::read_due(Run& run) {
  run.due = false;  // before reading: what is written from now on makes it due again
  try {
    if (read_once(run)) run.due = true;
  } catch (const Error& error) {
    run.retry_at = monotonic_seconds() + kRetryAfter;
    run.due = true;
    log_line(LogLevel::warning, fmt::format("training {}: events wait: {}", run.id, error.what()));
  }
}

}  // namespace saemill
