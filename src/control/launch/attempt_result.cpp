// What an attempt looks like while it runs (status.json) and what came of it.
#include <unistd.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/launch/attempt.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kTailLines = 5;
constexpr int kRetry = static_cast<int>(ErrorCode::retry);
constexpr int kCancelled = static_cast<int>(ErrorCode::cancelled);

double to_tenths(double seconds) {
  return static_cast<double>(static_cast<int64_t>(seconds * 10)) / 10;
}

}  // namespace

Json Attempt::status() const {
  const double now = monotonic_seconds();
  Json ranks = Json::array();
  for (const Rank& rank : ranks_) {
    Json entry{
        {"rank", rank.index},    {"pid", rank.process.pid()}, {"start_time", rank.process.start_time()},
        {"device", rank.device}, {"phase", rank.phase},       {"step", rank.step}};
    if (rank.process.running()) entry["heartbeat_age"] = to_tenths(now - rank.last_heartbeat);
    entry["running"] = rank.process.running();
    entry["skipped_lines"] = rank.reports.skipped();
    ranks.push_back(std::move(entry));
  }
  return {{"state", state_},
          {"step", leader().step},
          {"total_steps", options_.total_steps},
          {"phase", leader().phase},
          {"attempt", journal_.attempt()},
          {"time", utc_now()},
          {"pid", ::getpid()},
          {"start_time", process_start_time(::getpid())},
          {"ranks", std::move(ranks)}};
}

// The code of an attempt that was not killed by its user, and whose ranks are all gone.
int Attempt::code_of_the_end() const {
  const ExitStatus& end = leader().process.exit_status();
  // What rank 0 has completed stands, whatever becomes of its peers afterwards.
  if (leader().finished && end.ok()) return 0;
  if (leader().paused && end.code == kCancelled) return kCancelled;
  const bool only_lost_peers = std::all_of(failures_.begin(), failures_.end(),
                                           [](const Failure& failure) { return failure.code == kRetry; });
  // Stopped before it could take SIGTERM; its peers only noticed that.
  if (stop_asked_ && end.signal == SIGTERM && only_lost_peers) return kCancelled;
  if (!failures_.empty()) return first_cause(failures_).code;
  return end.code == kCancelled ? kCancelled : static_cast<int>(ErrorCode::internal);
}

AttemptResult Attempt::result() {
  AttemptResult result;
  result.step = leader().step;
  result.stop_asked = stop_asked_;
  result.code = killed_by_user_ ? kCancelled : code_of_the_end();
  if (!killed_by_user_) result.last_word = last_word_;
  if (result.code == 0) {
    for (const Failure& failure : failures_) {
      journal_.write({{"event", "warning"},
                      {"code", "rank_failed_after_end"},
                      {"message", fmt::format("rank {} ({}) {} after the run had finished", failure.rank,
                                              failure.device, failure.reason)},
                      {"rank", failure.rank}});
    }
    return result;
  }
  if (result.code == kCancelled) {
    result.message = killed_by_user_ ? "killed; what came after the last checkpoint is lost" : "stopped";
    return result;
  }
  if (failures_.empty()) {
    result.message = "the ranks ended without finishing the run and without a failure";
    return result;
  }
  result.cause = first_cause(failures_);
  result.message = message_of(*result.cause);
  return result;
}

std::string Attempt::message_of(const Failure& failure) const {
  const Rank& rank = ranks_[static_cast<size_t>(failure.rank)];
  std::string message = fmt::format("rank {} ({}) failed in phase {} at step {}: {}", failure.rank,
                                    failure.device, failure.phase, failure.step, failure.reason);
  const auto& log = rank.log.path();
  const std::string tail = rank.log.tail(kTailLines);
  if (tail.empty()) return message + fmt::format("\n  it printed nothing to {}", log.string());
  message += fmt::format("\n  the end of {}:", log.string());
  size_t begin = 0;
  while (begin <= tail.size()) {
    const size_t end = std::min(tail.find('\n', begin), tail.size());
    message += fmt::format("\n  | {}", tail.substr(begin, end - begin));
    begin = end + 1;
  }
  return message;
}

}  // namespace saemill
