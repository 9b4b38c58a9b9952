#include "control/launch/attempt.h"

#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/launch/cores.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kTick = 1.0;

// Heartbeats come every second: who is this late when a peer gives up is what the peer was waiting for.
constexpr double kSuspicious = 5.0;

}  // namespace

Attempt::Attempt(AttemptOptions options, const RunFolder& run, Journal& journal, SignalRequests& signals)
    : options_(std::move(options)), run_(run), journal_(journal), signals_(signals) {}

AttemptResult Attempt::run() {
  start_ranks();
  loop_time_ = monotonic_seconds();
  while (!all_gone()) {
    poll_once();
    for (Rank& rank : ranks_) reap(rank);
    const double now = monotonic_seconds();
    check_silence(now);
    enforce_end(now);
    if (now >= next_tick_) tick(now);
  }
  for (Rank& rank : ranks_) {
    announce_skipped(rank);
    rank.log.check();
  }
  return result();
}

void Attempt::start_ranks() {
  const int world_size = static_cast<int>(options_.devices.size());
  const Fd memory(::memfd_create("saemill-ranks", MFD_CLOEXEC));
  if (!memory) fail(ErrorCode::retry, "cannot make memory for the ranks: {}", std::strerror(errno));
  const auto cores = cores_of_ranks(options_.devices, allowed_cores());
  ranks_.reserve(options_.devices.size());
  for (int index = 0; index < world_size; ++index) {
    const auto at = static_cast<size_t>(index);
    ranks_.push_back(start_rank({.worker = options_.worker,
                                 .run = run_.path(),
                                 .log = run_.log_path(index),
                                 .index = index,
                                 .world_size = world_size,
                                 .device = options_.devices[at],
                                 .environment = options_.environment,
                                 .cores = cores[at],
                                 .memory_fd = memory.get(),
                                 .deadline = options_.deadline,
                                 .resume_step = options_.resume_step,
                                 .finish = options_.finish}));
  }
  tick(monotonic_seconds());
}

void Attempt::poll_once() {
  std::vector<pollfd> polled{{signals_.fd(), POLLIN, 0}};
  for (const Rank& rank : ranks_) polled.push_back({rank.reports.fd(), POLLIN, 0});  // -1 is passed over
  // SIGCHLD wakes this as well; the limit is for ticks and deadlines.
  if (::poll(polled.data(), polled.size(), 200) < 0) ensure(errno == EINTR, "poll failed");
  const double now = monotonic_seconds();
  if (now - loop_time_ > 2 * kTick) {
    // This process was stopped or starved, and heard nothing meanwhile: that is not the ranks' silence.
    for (Rank& rank : ranks_) rank.last_heartbeat += now - loop_time_;
  }
  loop_time_ = now;
  take_requests();
  for (Rank& rank : ranks_) {
    rank.reports.read_available([&](const Json& report) { on_report(rank, report); });
  }
}

void Attempt::take_requests() {
  while (const auto number = signals_.next()) {
    if (*number == SIGINT || *number == SIGTERM || *number == SIGHUP) {
      if (*number == SIGINT && ++interrupts_ > 1) {
        stop_now();
        continue;
      }
      if (!stop_asked_)
        journal_.observer().on_message("stopping: waiting for a checkpoint; Ctrl-C again to kill");
      stop_asked_ = true;
      if (state_ != "failing") state_ = "pausing";
      leader().process.signal(SIGTERM);
    }
    // Before rank 0 trains it may not have its handlers yet, and these two would kill it.
    if (*number == SIGUSR1) save_held_ = true;
    if (*number == SIGUSR2) finish_held_ = true;
  }
  forward_held();
}

void Attempt::stop_now() {
  killed_by_user_ = true;
  stop_asked_ = true;
  for (Rank& rank : ranks_) {
    if (!rank.process.running()) continue;
    rank.killed = true;
    rank.process.kill_group();
  }
}

void Attempt::forward_held() {
  if (leader().phase == "init") return;
  if (std::exchange(save_held_, false)) leader().process.signal(SIGUSR1);
  if (std::exchange(finish_held_, false)) {
    state_ = "finalizing";
    leader().process.signal(SIGUSR2);
  }
}

void Attempt::on_report(Rank& rank, const Json& report) {
  rank.last_heartbeat = monotonic_seconds();
  if (report.contains("step") && report["step"].is_number_integer()) rank.step = report["step"];
  const auto& event = report["event"].get_ref<const std::string&>();
  if (event == "heartbeat") {
    rank.phase = report["phase"];
    if (rank.index == 0 && rank.phase == "train" && state_ == "starting") state_ = "running";
    if (rank.index == 0 && rank.phase == "export" && state_ == "running") state_ = "finalizing";
    return;
  }
  if (event == "failed") {
    rank.failed = report;
    if (report.contains("phase") && report["phase"].is_string()) rank.phase = report["phase"];
    return;  // events.jsonl says `failed` once, of the job
  }
  if (event == "finished") rank.finished = true;
  if (event == "paused") rank.paused = true;
  if (rank.index == 0 && event == "started") return on_started(report);
  // The end of the job is told after every rank is gone, and only rank 0 speaks for the job.
  if (event == "finished" || event == "paused") {
    if (rank.index == 0) last_word_ = report;
    return;
  }
  if (event == "metrics" && rank.index != 0) return;  // rank 0 tells those of each
  // Told again after a resume, for a launcher that was gone when the checkpoint was written.
  if (event == "checkpoint" && report["step"] == journal_.last_checkpoint()) return;
  Json told = report;
  told["rank"] = rank.index;
  if (rank.index == 0 && event != "warning") told.erase("rank");
  journal_.write(told);
}

void Attempt::on_started(const Json& report) {
  if (state_ == "starting") state_ = "running";
  if (leader().phase == "init") leader().phase = "train";
  Json names = Json::array(), uuids = Json::array();
  for (const JobDevice& device : options_.devices) names.push_back(device.name);
  for (const JobDevice& device : options_.devices)
    if (!device.uuid.empty()) uuids.push_back(device.uuid);
  journal_.write({{"event", "started"},
                  {"step", report["step"]},
                  {"total_steps", options_.total_steps},
                  {"devices", names},
                  {"device_uuids", uuids},
                  {"world_size", options_.devices.size()},
                  {"plan", report["plan"]}});
}

void Attempt::reap(Rank& rank) {
  if (!rank.process.running() || !rank.process.poll_exit()) return;
  // What it wrote before it ended is still in the pipe. A grandchild may hold the other end: no waiting for
  // its end.
  while (rank.reports.read_available([&](const Json& report) { on_report(rank, report); })) {
  }
  rank.reports.close();
  const ExitStatus status = *rank.process.poll_exit();
  if (rank.index == 0) leader_gone_at_ = monotonic_seconds();
  if (rank.killed && status.signal == SIGKILL) return;
  if (rank.failed) {
    const int reported = rank.failed->at("code").get<int>();
    const int code = status.signal == 0 && status.code != 0 ? status.code : reported;
    return add_failure(rank, FailureKind::exited, job_code(code),
                       rank.failed->at("reason").get<std::string>());
  }
  if (status.signal != 0) {
    // Asked to stop before it had anything to save: not a failure.
    if (stop_asked_ && rank.index == 0 && status.signal == SIGTERM) return;
    return add_failure(rank, FailureKind::signal, static_cast<int>(ErrorCode::retry), describe(status));
  }
  if (status.code == static_cast<int>(ErrorCode::cancelled)) return;
  if (status.code != 0)
    return add_failure(rank, FailureKind::exited, job_code(status.code), describe(status));
  if (rank.index == 0 && !rank.finished) {
    add_failure(rank, FailureKind::exited, static_cast<int>(ErrorCode::internal),
                "exited with code 0 without reporting the finished run");
  }
}

void Attempt::add_failure(const Rank& rank, FailureKind kind, int code, std::string reason) {
  if (failures_.empty()) {
    state_ = "failing";
    kill_at_ = monotonic_seconds() + kGrace;
  }
  failures_.push_back({kind, rank.index, code, std::move(reason), rank.device, rank.phase, rank.step});
}

void Attempt::check_silence(double now) {
  // A peer that waited for a rank in vain fails by itself; whoever speaks no more at that moment is the
  // cause.
  const double limit = failures_.empty() ? options_.deadline + kSilenceMargin : kSuspicious;
  for (Rank& rank : ranks_) {
    if (!rank.process.running() || rank.killed || rank.silent) continue;
    const double age = now - rank.last_heartbeat;
    if (age <= limit) continue;
    rank.silent = true;
    add_failure(rank, FailureKind::silent, static_cast<int>(ErrorCode::retry),
                fmt::format("no heartbeat for {:.0f} s", age));
  }
}

void Attempt::enforce_end(double now) {
  // Rank 0 speaks last; a rank that outlives it by a deadline waits for something that will not come.
  const double leader_limit = failures_.empty() ? options_.deadline + kSilenceMargin : kGrace;
  const bool overdue =
      (kill_at_ > 0 && now >= kill_at_) ||
      (leader_gone_at_ > 0 && now >= leader_gone_at_ + (stop_asked_ ? kGrace : leader_limit));
  if (!overdue) return;
  for (Rank& rank : ranks_) {
    if (!rank.process.running() || rank.killed) continue;
    rank.killed = true;
    rank.process.kill_group();
  }
}

void Attempt::tick(double now) {
  next_tick_ = now + kTick;
  for (Rank& rank : ranks_) {
    announce_skipped(rank);
    rank.log.check();
  }
  run_.write_status(status());
  journal_.observer().on_progress(leader().step, options_.total_steps, leader().phase);
}

void Attempt::announce_skipped(Rank& rank) {
  const int64_t skipped = rank.reports.skipped();
  if (skipped == rank.skipped_announced) return;
  rank.skipped_announced = skipped;
  journal_.write(
      {{"event", "warning"},
       {"code", "skipped_lines"},
       {"message",
        fmt::format("rank {} ({}): {} report lines skipped so far: {} too long, {} not reports", rank.index,
                    rank.device, skipped, rank.reports.too_long(), rank.reports.not_reports())},
       {"rank", rank.index},
       {"count", skipped}});
}

bool Attempt::all_gone() const {
  return std::none_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.process.running(); });
}

}  // namespace saemill
