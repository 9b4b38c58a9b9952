// What a person asks of checkpoints: to go on from one, to delete one.
#include "control/jobs/checkpoint_requests.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/protocol/checkpoint_folders.h"
#include "control/jobs/jobs_impl.h"

namespace saemill {
namespace {

std::string names_of(const std::vector<CheckpointRow>& all) {
  std::string names;
  for (const CheckpointRow& row : all) names += (names.empty() ? "" : ", ") + row.name;
  return names.empty() ? "none" : names;
}

const CheckpointRow* find(const std::vector<CheckpointRow>& all, const std::string& name) {
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const CheckpointRow& row) { return row.name == name; });
  return at == all.end() ? nullptr : &*at;
}

std::string missing(const TrainingRow& training, const std::vector<CheckpointRow>& all,
                    const std::string& name) {
  return fmt::format("there is no checkpoint \"{}\" of training {}; there are: {}", name.substr(0, 100),
                     training.id, names_of(all));
}

}  // namespace

std::string why_it_stays(const TrainingRow& training, const std::vector<CheckpointRow>& all, int64_t step) {
  if (holds_devices(training.status))
    return fmt::format("the training is {}; accepted: one that waits, is paused or has ended",
                       to_string(training.status));
  if (training.launcher_pid != 0) return "the training is still ending; ask again";
  if (is_final(training.status)) return "";
  const int64_t newest = all.empty() ? -1 : all.back().step;
  if (step != training.from_checkpoint.value_or(newest)) return "";
  return fmt::format(
      "the training is {} and goes on from this checkpoint{}; accepted: another one, or cancel "
      "the training first",
      to_string(training.status), training.from_checkpoint ? ", which was chosen" : "");
}

int64_t Jobs::Impl::step_of(const TrainingRow& row, const std::string& checkpoint) {
  const auto all = checkpoints.list(row.id);
  const CheckpointRow* found = find(all, checkpoint);
  std::error_code error;
  const bool there = found != nullptr &&
                     std::filesystem::exists(
                         checkpoint_folders::parent(runs() / row.id) / checkpoint_name(found->step), error);
  if (!there) throw Refused("no_checkpoint", missing(row, all, checkpoint));
  return found->step;
}

// The files first, out of their place by one rename: a row without files can be deleted again, and nothing
// goes on from files that are half gone. Under `pass`, so that it is not started meanwhile.
void Jobs::erase_checkpoint(const std::string& id, const std::string& name) {
  Impl& impl = *impl_;
  const std::lock_guard lock(impl.pass);
  const auto row = impl.board.store().find(id);
  if (!row) throw Refused("not_found", fmt::format("there is no training {}", id.substr(0, 100)));
  const auto all = impl.checkpoints.list(id);
  const CheckpointRow* found = find(all, name);
  if (found == nullptr) throw Refused("not_found", missing(*row, all, name));
  if (const auto why = why_it_stays(*row, all, found->step); !why.empty()) throw Refused("bad_state", why);
  if (row->from_checkpoint == found->step) {  // of one that has ended: a retry begins at the newest again
    TrainingChange change;
    change.from_checkpoint.emplace();
    impl.board.note(id, row->status, change);
  }
  for (const auto& place : checkpoint_folders::places(run_folder(id), found->step)) impl.trash.take(place);
  if (impl.checkpoints.remove(id, found->step, now_ms())) impl.board.tell_erased(id, found->step);
}

}  // namespace saemill
