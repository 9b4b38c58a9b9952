// Every change of a training: in the store, among the machine's events, and told to the listener, in that
// order. Each is told, in the order in which the store has them.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "control/jobs/training_listener.h"

namespace saemill {

// Why a training is in its status, for people and (code) for programs.
struct StatusReason {
  std::string code, message;
  Severity severity = Severity::info;
};

// Thread-safe.
class TrainingBoard {
 public:
  TrainingBoard(Database& database, std::string host, TrainingListener& listener)
      : trainings_(database), events_(database), host_(std::move(host)), listener_(listener) {}

  // Sets their arrival.
  void create(std::vector<TrainingRow>& rows);

  // From `from` to `to`, which may be the same, with `more`. Absent, and nothing changed: it is not in that
  // status any more. Error{retry}: the store is away.
  std::optional<TrainingRow> change(const std::string& id, TrainingStatus from, TrainingStatus to,
                                    const StatusReason& reason, TrainingChange more = {});
  // What is no event: why it waits, who its launcher is. False: it is not in that status any more.
  bool note(const std::string& id, TrainingStatus status, const TrainingChange& change);

  bool erase(const TrainingRow& training);
  void tell_erased(const std::string& training, int64_t checkpoint_step);
  void tell(const std::string& training, const AppliedEvent& event);
  // Beside what the status says: a run whose events cannot be read.
  void warn(const std::string& training, const std::string& code, const std::string& message);

  Trainings& store() { return trainings_; }

 private:
  MachineEvent event_of(const std::string& id, const std::string& code, const std::string& message,
                        Severity severity) const;

  Trainings trainings_;
  MachineEvents events_;
  std::string host_;
  TrainingListener& listener_;
  std::mutex telling_;  // held from the store's change until it is told: the next would hide it
};

}  // namespace saemill
