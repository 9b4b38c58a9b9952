// For tests: Jobs over a real store and this machine's CPU slots, with a shell script in the place of the
// launcher. What it does stands in the configuration's name.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/base/file.h"
#include "common/base/proc.h"
#include "common/base/temporary_folder.h"
#include "control/jobs/jobs.h"

namespace saemill::testing_tools {

// finish: two steps and an SAE. wait: until a signal. leave: as wait, and a process in another session.
// saves: as wait, after checkpoints of steps 1 and 2. flaky: dies at its first start, then finish. refuse:
// exits 65 without a word in its folder. lost: says 75. silent: no sign of life, and deaf to signals. mute:
// as wait, without a line of events.
inline constexpr const char* kLauncher = R"sh(#!/bin/sh
run=$4
say() { n=$(($(wc -l < "$run/events.jsonl") + 1)); printf '{"seq":%d,"time":"2026-01-01T00:00:00Z","attempt":1,%s}\n' $n "$1" >> "$run/events.jsonl"; }
finish() {
  mkdir -p "$run/sae"; echo '{}' > "$run/sae/cfg.json"; echo x > "$run/sae/sae_weights.safetensors"
  say '"event":"finished","step":'"$1"; printf '{"code":0,"reason":"finished","step":%d}' "$1" > "$run/exit.json"; exit 0
}
end() { printf '{"code":%d,"reason":"%s","step":2}' "$1" "$2" > "$run/exit.json"; exit $1; }
trap 'echo TERM >> "$run/signals"; say "\"event\":\"paused\",\"step\":2"; end 130 paused' TERM
trap 'echo INT >> "$run/signals"; end 130 cancelled' INT
trap 'echo USR1 >> "$run/signals"' USR1
trap 'echo USR2 >> "$run/signals"; finish 2' USR2
echo "$@" >> "$run/started"
kind=$(sed -n 's/.*"name": "\([a-z]*\)".*/\1/p' "$run/config.json" | head -1)
[ $kind = silent ] && { trap '' TERM INT USR2; while :; do sleep 0.05; done; }
[ $kind = refuse ] && { echo "the shard is truncated"; exit 65; }
[ $kind = mute ] && while :; do
  set -- $(cat /proc/$$/stat)
  echo "{\"state\":\"running\",\"pid\":$$,\"start_time\":${22}}" > "$run/status.json"
  sleep 0.05
done
chosen=$(echo "$@" | sed -n 's/.*--from-checkpoint step-0*\([0-9]*\).*/\1/p')
[ -n "$chosen" ] && say '"event":"rewind","chosen":true,"step":'$chosen
say '"event":"started","step":0,"total_steps":2'
say '"event":"metrics","step":1,"values":{"fvu":0.5,"step_ms":60000}'
save() {
  mkdir -p "$run/checkpoints/step-0000000$1"; echo '{}' > "$run/checkpoints/step-0000000$1/manifest.json"
  say '"event":"checkpoint","path":"step-0000000'$1'","bytes":3,"step":'$1
}
[ $kind = saves ] && [ $(wc -l < "$run/started") = 1 ] && save 1 && save 2
[ $kind = lost ] && end 75 "rank 1 has gone"
[ $kind = flaky ] && [ $(wc -l < "$run/started") = 1 ] && kill -9 $$
[ $kind = leave ] && setsid sleep 300 &
[ $kind = wait ] || [ $kind = saves ] || [ $kind = leave ] && while :; do touch "$run/status.json"; sleep 0.02; done
say '"event":"metrics","step":2,"values":{"fvu":0.25}'
finish 2
)sh";

class Told : public TrainingListener {
 public:
  void on_created(const TrainingRow& row) override { add(row.id, "created"); }
  void on_changed(const TrainingRow& row) override { add(row.id, to_string(row.status)); }
  void on_deleted(const TrainingRow& row) override { add(row.id, "deleted"); }
  void on_checkpoint_erased(const std::string& id, int64_t step) override {
    add(id, "erased " + std::to_string(step));
  }
  void on_run_event(const std::string& id, const AppliedEvent& event) override {
    const std::lock_guard lock(mutex_);
    seqs_[id].push_back(event.seq);
  }
  void on_machine_event(const MachineEvent& event) override {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }

  // What it was told of the training, without what came twice in a row.
  std::vector<std::string> of(const std::string& id) {
    const std::lock_guard lock(mutex_);
    return words_[id];
  }
  std::vector<int64_t> seqs(const std::string& id) {
    const std::lock_guard lock(mutex_);
    return seqs_[id];
  }
  std::vector<MachineEvent> events() {
    const std::lock_guard lock(mutex_);
    return events_;
  }

 private:
  void add(const std::string& id, const std::string& word) {
    const std::lock_guard lock(mutex_);
    auto& words = words_[id];
    if (words.empty() || words.back() != word) words.push_back(word);
  }
  std::mutex mutex_;
  std::map<std::string, std::vector<std::string>> words_;
  std::map<std::string, std::vector<int64_t>> seqs_;
  std::vector<MachineEvent> events_;
};

class JobsTest : public ::testing::Test {
 protected:
  // So many, since other tests may run ranks on the first of them: those are then somebody else's.
  static constexpr int kSlots = 64;
  static std::string slot(int from_the_end) { return cpu_slot_uuid(host_name(), kSlots - 1 - from_the_end); }
  static TrainingRow asked_on(const std::string& kind, int from_the_end) {
    TrainingRow row = asked(kind);
    row.asked_gpu_ids = nlohmann::json({slot(from_the_end)}).dump();
    return row;
  }

  void SetUp() override {
    std::ofstream(folder_ / "launcher") << kLauncher;
    ::chmod((folder_ / "launcher").c_str(), 0700);
    options_ = {
        .data = folder_,
        .program = folder_ / "launcher",
        .worker = folder_ / "worker",
        .server_id = "server",
        .host = host_name(),
        .gpu_constants = [](const Device&, const std::string&) { return std::optional<DeviceConstants>(); }};
    database_ = std::make_unique<Database>("sqlite:" + (folder_ / "store.db").string());
    trainings_ = std::make_unique<Trainings>(*database_);
    leases_ = std::make_unique<Leases>(*database_);
    monitor_ = std::make_unique<Monitor>(
        MonitorOptions{.cpu_slots = kSlots, .data = folder_, .leases = leases_.get(), .recorder = nullptr});
  }
  void TearDown() override {
    if (jobs_ == nullptr) return;
    for (const auto& row : trainings_->list({.limit = 500}).trainings) {
      if (accepts_cancel(row)) jobs_->control(row.id, {.action = Action::cancel});
    }
    EXPECT_TRUE(eventually([&] { return trainings_->active("server").empty(); })) << "a launcher is left";
    jobs_.reset();
    monitor_.reset();
  }

  void serve() {
    jobs_ = std::make_unique<Jobs>(options_, *database_, *leases_, *monitor_, told_);
    jobs_->start();
  }
  void stop_serving() { jobs_.reset(); }

  static TrainingRow asked(const std::string& kind, int devices = 1) {
    TrainingRow row;
    RunConfig config;
    config.name = kind;
    config.activations.path = "/nowhere";
    config.activations.d_in = 16;
    config.sae.d_sae = 64;
    config.train.batch_size = 64;
    config.train.steps = 2;
    config.train.lr = 1e-3;
    row.name = kind;
    row.config = run_config_to_json(config).dump();
    row.total_steps = 2;
    row.device_count = devices;
    row.max_restarts = 3;
    return row;
  }
  std::string submit(const TrainingRow& row) { return jobs_->create({row}, false).front().id; }
  std::string submit(const std::string& kind, int devices = 1) { return submit(asked(kind, devices)); }
  TrainingRow row(const std::string& id) const { return trainings_->find(id).value_or(TrainingRow{}); }

  template <typename Condition>
  static bool eventually(const Condition& condition, double seconds = 20) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }
  ::testing::AssertionResult reaches(const std::string& id, TrainingStatus status) {
    if (eventually([&] { return row(id).status == status; })) return ::testing::AssertionSuccess();
    const TrainingRow now = row(id);
    return ::testing::AssertionFailure() << "is " << to_string(now.status) << ": "
                                         << now.reason_message.value_or("") << "; " << now.error.value_or("");
  }
  // How often, and with which arguments, its launcher was started; or which signals came to it.
  std::vector<std::string> lines(const std::string& id, const char* name) const {
    std::ifstream file(folder_ / "trainings" / id / name);
    std::vector<std::string> found;
    for (std::string line; std::getline(file, line);) found.push_back(line);
    return found;
  }
  static bool accepts_cancel(const TrainingRow& training) { return !is_final(training.status); }

  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path;
  JobsOptions options_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Trainings> trainings_;
  std::unique_ptr<Leases> leases_;
  std::unique_ptr<Monitor> monitor_;
  Told told_;
  std::unique_ptr<Jobs> jobs_;
};

}  // namespace saemill::testing_tools
