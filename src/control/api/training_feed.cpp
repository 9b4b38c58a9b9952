#include "control/api/training_feed.h"

#include <filesystem>

#include "common/base/log.h"
#include "control/api/event_json.h"
#include "control/api/log_watch.h"
#include "control/api/training_json.h"

namespace saemill::api {
namespace {

constexpr const char* kAll = "trainings";
constexpr const char* kErasedSlot = "erased";
constexpr const char* kReaderSlot = "reader";  // its warning must not displace the training's state

std::string progress_of(const std::string& training) {
  return "trainings/" + training + "/progress";
}

std::string checkpoints_of(const std::string& training) {
  return "trainings/" + training + "/checkpoints";
}

const char* tick_name(TrainingStatus status) {
  if (status == TrainingStatus::completed) return "training:completed";
  return status == TrainingStatus::failed ? "training:failed" : "training:status";
}

// Steps of a line, which may be anything. Absent unless all of it is right, as in the store: half a list
// would take the rest for deleted.
std::optional<std::set<int64_t>> steps_of(const nlohmann::json& line, const char* name) {
  const auto found = line.find(name);
  if (found == line.end() || !found->is_array()) return std::nullopt;
  std::set<int64_t> steps;
  for (const nlohmann::json& step : *found) {
    if (!step.is_number_integer()) return std::nullopt;
    steps.insert(step.get<int64_t>());
  }
  return steps;
}

template <typename T>
T value_of(const nlohmann::json& line, const char* name, T otherwise) {
  const auto found = line.find(name);
  const bool fits =
      found != line.end() && (std::is_integral_v<T> ? found->is_number_integer() : found->is_string());
  return fits ? found->get<T>() : otherwise;
}

// Who tells of trainings must not be stopped by what listens.
template <typename Work>
void never_throwing(const Work& work) {
  try {
    work();
  } catch (const std::exception& error) {
    log_line(LogLevel::error, std::string("a live message was lost: ") + error.what());
  }
}

}  // namespace

TrainingFeed::TrainingFeed(Hub& hub) : hub_(hub) {
  hub_.open(kAll);
  hub_.open("events");
}

void TrainingFeed::open(const TrainingRow& training) {
  hub_.open(progress_of(training.id), training.events_seq);
  hub_.open(checkpoints_of(training.id), training.events_seq);
  hub_.open(logs_channel(training.id));
}

// Those that have ended cost a name: their state is in REST until it changes.
void TrainingFeed::open_all(
    const std::vector<TrainingRow>& trainings,
    const std::function<std::vector<CheckpointRow>(const std::string& training)>& checkpoints) {
  for (const TrainingRow& training : trainings) {
    open(training);
    if (!is_final(training.status)) tick(training);
    if (training.status == TrainingStatus::completed) continue;
    std::set<int64_t> steps;
    for (const CheckpointRow& row : checkpoints(training.id))
      if (!row.removed_at) steps.insert(row.step);
    const std::lock_guard lock(mutex_);
    if (!steps.empty()) checkpoints_[training.id] = std::move(steps);
  }
}

void TrainingFeed::tick(const TrainingRow& training) {
  hub_.tick(progress_of(training.id), tick_name(training.status), training_state_json(training));
}

void TrainingFeed::on_created(const TrainingRow& training) {
  never_throwing([&] {
    open(training);
    hub_.publish(kAll, "training:created", training_state_json(training));
    tick(training);
  });
}

void TrainingFeed::on_changed(const TrainingRow& training) {
  never_throwing([&] {
    hub_.publish(kAll, "training:status", training_state_json(training));
    tick(training);
    if (!is_final(training.status)) return;
    hub_.forget(progress_of(training.id));
    hub_.forget(checkpoints_of(training.id));
    const std::lock_guard lock(mutex_);
    // The others may be tried again.
    if (training.status == TrainingStatus::completed) checkpoints_.erase(training.id);
  });
}

void TrainingFeed::on_deleted(const TrainingRow& last) {
  never_throwing([&] {
    hub_.close(progress_of(last.id));
    hub_.close(checkpoints_of(last.id));
    hub_.close(logs_channel(last.id));
    {
      const std::lock_guard lock(mutex_);
      checkpoints_.erase(last.id);
      erased_.erase(last.id);
    }
    hub_.publish(kAll, "training:deleted", training_state_json(last));
  });
}

void TrainingFeed::on_run_event(const std::string& training, const AppliedEvent& event) {
  never_throwing([&] {
    const char* name = event.event == "warning" ? "training:warning" : "training:progress";
    if (event.seq == 0)
      hub_.tick(progress_of(training), name, Json(event.data), kReaderSlot);
    else
      hub_.publish_at(progress_of(training), event.seq, name, Json(event.data));
    if (event.event == "checkpoint") on_checkpoint(training, event);
    if (event.event == "rewind") on_rewind(training, event);
  });
}

void TrainingFeed::on_checkpoint(const std::string& training, const AppliedEvent& event) {
  const auto step = value_of<int64_t>(event.data, "step", 0);
  const auto path = value_of<std::string>(event.data, "path", "");
  const auto time = value_of<std::string>(event.data, "time", "");
  Json deleted = Json::array();
  std::optional<std::set<int64_t>> still_erased;
  {
    const std::lock_guard lock(mutex_);
    if (const auto erased = erased_.find(training); erased != erased_.end() && erased->second.erase(step) > 0)
      still_erased = erased->second;
    std::set<int64_t>& known = checkpoints_[training];
    // An old launcher does not tell what it kept.
    if (const auto kept = steps_of(event.data, "kept")) {
      std::erase_if(known, [&](int64_t one) {
        const bool gone = one < step && !kept->contains(one);
        if (gone) deleted.push_back(one);
        return gone;
      });
    }
    known.insert(step);
  }
  Json data{{"step", step},
            {"name", std::filesystem::path(path).filename().string()},
            {"bytes", value_of<int64_t>(event.data, "bytes", 0)}};
  if (!time.empty()) data["time"] = time;
  data["deleted"] = std::move(deleted);
  if (still_erased) tick_erased(training, *still_erased);  // before: who hears both knows that it is there
  hub_.publish_at(checkpoints_of(training), event.seq, "checkpoint:created", data);
}

void TrainingFeed::tick_erased(const std::string& training, const std::set<int64_t>& steps) {
  hub_.tick(checkpoints_of(training), "checkpoint:deleted", {{"steps", steps}}, kErasedSlot);
}

void TrainingFeed::on_checkpoint_erased(const std::string& training, int64_t step) {
  never_throwing([&] {
    std::set<int64_t> erased;
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = checkpoints_.find(training); found != checkpoints_.end())
        found->second.erase(step);
      erased_[training].insert(step);
      erased = erased_[training];
    }
    tick_erased(training, erased);
  });
}

void TrainingFeed::on_rewind(const std::string& training, const AppliedEvent& event) {
  const auto step = value_of<int64_t>(event.data, "step", 0);
  Json steps = Json::array();
  {
    const std::lock_guard lock(mutex_);
    const auto found = checkpoints_.find(training);
    if (found == checkpoints_.end()) return;
    std::set<int64_t>& known = found->second;
    const auto first = known.upper_bound(step);
    for (auto one = first; one != known.end(); ++one) steps.push_back(*one);
    known.erase(first, known.end());
  }
  if (!steps.empty())
    hub_.publish_at(checkpoints_of(training), event.seq, "checkpoint:deleted", {{"steps", std::move(steps)}});
}

void TrainingFeed::on_machine_event(const MachineEvent& event) {
  never_throwing([&] { hub_.publish("events", "event:created", to_json(event)); });
}

}  // namespace saemill::api
