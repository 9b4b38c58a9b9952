// One attempt at a job: its ranks, from their start until every one of them is proven dead.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/launch/cause.h"
#include "control/launch/devices.h"
#include "control/launch/journal.h"
#include "control/launch/rank.h"
#include "control/launch/run_folder.h"
#include "control/launch/signals.h"

namespace saemill {

struct AttemptOptions {
  std::filesystem::path worker;
  std::vector<JobDevice> devices;
  std::vector<std::string> environment;  // of every rank
  double deadline = 60;                  // seconds that a rank waits for its peers
  int64_t total_steps = 0;
  std::optional<int64_t> resume_step;
  bool finish = false;  // export that, without a further step
};

struct AttemptResult {
  int code = 0;
  int64_t step = 0;
  std::optional<Failure> cause;  // where code is not 0 and no checkpoint was asked for
  std::string message;           // the cause for a person: rank, device, phase, step and the end of its log
  bool stop_asked = false;       // somebody wants this job to end: it must not be started again
  nlohmann::ordered_json last_word;  // rank 0's finished or paused report; null if it gave none
};

class Attempt {
 public:
  Attempt(AttemptOptions options, const RunFolder& run, Journal& journal, SignalRequests& signals);

  AttemptResult run();

  // The ranks that are left are killed this long after the first failure: time for the others to see it and
  // to say what they saw.
  static constexpr double kGrace = 3;
  // A rank is silent when its heartbeat is this much older than the deadline, after which peers report it
  // themselves.
  static constexpr double kSilenceMargin = 10;

 private:
  void start_ranks();
  void poll_once();
  void take_requests();
  void stop_now();
  void forward_held();
  void on_report(Rank& rank, const nlohmann::ordered_json& report);
  void on_started(const nlohmann::ordered_json& report);
  void reap(Rank& rank);
  void add_failure(const Rank& rank, FailureKind kind, int code, std::string reason);
  void check_silence(double now);
  void enforce_end(double now);
  void tick(double now);
  void announce_skipped(Rank& rank);
  nlohmann::ordered_json status() const;
  int code_of_the_end() const;
  AttemptResult result();
  std::string message_of(const Failure& failure) const;
  bool all_gone() const;
  Rank& leader() { return ranks_.front(); }
  const Rank& leader() const { return ranks_.front(); }

  AttemptOptions options_;
  const RunFolder& run_;
  Journal& journal_;
  SignalRequests& signals_;
  std::vector<Rank> ranks_;
  std::vector<Failure> failures_;
  std::string state_ = "starting";
  nlohmann::ordered_json last_word_;
  double loop_time_ = 0;
  double next_tick_ = 0;
  double kill_at_ = 0;         // 0: nothing has failed
  double leader_gone_at_ = 0;  // 0: still there
  int interrupts_ = 0;
  bool stop_asked_ = false;
  bool killed_by_user_ = false;
  bool save_held_ = false;  // SIGUSR1 and SIGUSR2 that came before rank 0 could take them
  bool finish_held_ = false;
};

}  // namespace saemill
