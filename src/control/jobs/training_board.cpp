#include "control/jobs/training_board.h"

#include <fmt/format.h>

#include "common/base/clock.h"

namespace saemill {
namespace {

constexpr size_t kLongestMessage = 2000;

}  // namespace

MachineEvent TrainingBoard::event_of(const std::string& id, const std::string& code,
                                     const std::string& message, Severity severity) const {
  MachineEvent event;
  event.time = epoch_seconds();
  event.severity = severity;
  event.code = code;
  event.host = host_;
  event.training_id = id;
  event.message = message.substr(0, kLongestMessage);
  return event;
}

void TrainingBoard::create(std::vector<TrainingRow>& rows) {
  std::vector<MachineEvent> events;
  for (const TrainingRow& row : rows)
    events.push_back(
        event_of(row.id, "training_queued", fmt::format("{} was created", row.name), Severity::info));
  const std::lock_guard lock(telling_);
  trainings_.insert(rows, &events);
  for (const TrainingRow& row : rows) listener_.on_created(row);
  for (const MachineEvent& event : events) listener_.on_machine_event(event);
}

std::optional<TrainingRow> TrainingBoard::change(const std::string& id, TrainingStatus from,
                                                 TrainingStatus to, const StatusReason& reason,
                                                 TrainingChange more) {
  more.status = to;
  more.reason_code.emplace(reason.code);
  more.reason_message.emplace(reason.message);
  if (!more.expected_start) more.expected_start.emplace();
  if (is_final(to))
    more.completed_at.emplace(static_cast<int64_t>(epoch_seconds() * 1e3));
  else if (is_final(from))
    more.completed_at.emplace();
  MachineEvent event =
      event_of(id, fmt::format("training_{}", to_string(to)), reason.message, reason.severity);
  const std::lock_guard lock(telling_);
  auto row = trainings_.update(id, from, more, &event);
  if (!row) return std::nullopt;
  listener_.on_changed(*row);
  listener_.on_machine_event(event);
  return row;
}

bool TrainingBoard::note(const std::string& id, TrainingStatus status, const TrainingChange& change) {
  const std::lock_guard lock(telling_);
  const auto row = trainings_.update(id, status, change);
  if (row) listener_.on_changed(*row);
  return row.has_value();
}

bool TrainingBoard::erase(const TrainingRow& training) {
  const std::lock_guard lock(telling_);
  if (!trainings_.erase(training.id)) return false;
  listener_.on_deleted(training);
  return true;
}

void TrainingBoard::tell_erased(const std::string& training, int64_t checkpoint_step) {
  const std::lock_guard lock(telling_);
  listener_.on_checkpoint_erased(training, checkpoint_step);
}

void TrainingBoard::tell(const std::string& training, const AppliedEvent& event) {
  const std::lock_guard lock(telling_);
  listener_.on_run_event(training, event);
}

void TrainingBoard::warn(const std::string& training, const std::string& code, const std::string& message) {
  std::vector<MachineEvent> events{event_of(training, code, message, Severity::warning)};
  events_.add(events);
  const std::lock_guard lock(telling_);
  listener_.on_machine_event(events.front());
}

}  // namespace saemill
