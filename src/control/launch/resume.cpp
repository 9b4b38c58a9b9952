#include "control/launch/resume.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/protocol/checkpoint_folders.h"

namespace saemill {
namespace {

namespace folders = checkpoint_folders;

// The launcher that wrote the choice down may have been killed before they were all gone.
void discard_what_was_left_behind(const RunFolder& run, const Journal& journal) {
  if (journal.chosen_step() >= 0)
    folders::discard_later(real_file_system(), run.path(), journal.chosen_step());
}

}  // namespace

int64_t step_of_choice(const RunFolder& run, const std::string& name) {
  const auto step = checkpoint_step(name);
  for (const folders::Found& found : folders::list(run.path()))
    if (step == found.step && name == checkpoint_name(found.step)) return found.step;
  fail(ErrorCode::usage, "--from-checkpoint {}: {} has no such checkpoint; there are: {}", name,
       run.path().string(), folders::names(run.path()));
}

// Ranks may have got further than what was written down of them before the launcher was killed. A checkpoint
// beyond that is passed over: what lies between is trained again, so that its events are there. Where there
// is no other (somebody has deleted events.jsonl), it serves.
ResumePoint find_resume_point(const std::filesystem::path& worker, const RunFolder& run,
                              const Journal& journal, std::optional<int64_t> chosen, SignalRequests& signals,
                              const SignOfLife& alive) {
  const auto newest = [&](int64_t at_most) {
    return newest_checkpoint(worker, run.path(), at_most, signals, alive);
  };
  discard_what_was_left_behind(run, journal);
  if (chosen) {
    ResumePoint point = newest(*chosen);
    if (point.step != chosen)
      fail(ErrorCode::bad_data, "{}: the chosen checkpoint {} is not whole{}{}; there are: {}",
           run.path().string(), checkpoint_name(*chosen), point.warnings.empty() ? "" : ": ",
           fmt::join(point.warnings, " "), folders::names(run.path()));
    point.chosen = true;
    return point;
  }
  ResumePoint recorded = newest(std::max<int64_t>(0, journal.last_step()));
  if (recorded.step) return recorded;
  ResumePoint point = newest(INT64_MAX);
  if (point.step)
    point.warnings.push_back(fmt::format(
        "Events of the steps up to {} are missing: the run goes on from a checkpoint that is newer "
        "than its events.",
        *point.step));
  return point;
}

void announce_start(const RunFolder& run, Journal& journal, const ResumePoint& point) {
  for (const auto& warning : point.warnings) {
    journal.observer().on_message("warning: " + warning);
    journal.write({{"event", "warning"}, {"code", "checkpoint"}, {"message", warning}});
  }
  const int64_t step = point.step.value_or(0);
  if (!point.chosen) {
    if (journal.last_step() > step) journal.write({{"event", "rewind"}, {"step", step}});
    return;
  }
  journal.observer().on_message(fmt::format("goes on from {}, which was chosen", checkpoint_name(step)));
  journal.write({{"event", "rewind"}, {"step", step}, {"chosen", true}});
  journal.sync();  // before anything that it takes back is deleted
  folders::discard_later(real_file_system(), run.path(), step);
}

}  // namespace saemill
