// Which waiting trainings start now, on which devices, and why the others wait: a pure function, called after
// every event that could change its answer. Rules:
//
// - A training gets all of its devices at once or none, and only devices that are free and well.
// - Order: priority, then arrival. Devices: those named, else what recommend() puts first of what is free.
// - The first training that cannot start, though it is neither held nor waiting for another and this machine
//   could run it, is the head. Others may overtake it only where it finds its devices as early without them.
//   As early means: whatever the ends that nobody knows turn out to be. In numbers: of each set of devices
//   that could serve it, for every count m of those of unknown end, the head's earliest start if m of them
//   ended now and the others never must not grow. With m = 0 this is EASY backfill (Lifka 1995) by known
//   ends; greater m keep a device from being taken that would have let the head start once an unknown end
//   comes. So a training of unknown duration overtakes only on devices that could never have shortened the
//   wait.
// - Where the driver has not told yet which GPUs there are (gpus_unknown()), who would take any device waits:
//   it might have found CPU slots only. CPU slots that were named are given; and any, where the driver
//   refuses and a person has set up slots nevertheless.
// - What cannot start on the machine as it is (too few devices, too little memory, a device gone or not well)
//   waits without holding up anybody, and is looked at again the next time.
// - A run that is over its predicted end has an unknown one. Only the head is protected: those behind it are
//   once they are the head.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/monitor/inventory.h"

namespace saemill {

struct WaitingJob {
  std::string id;
  int priority = 50;                 // 0-100, greater first
  int64_t order = 0;                 // of arrival, smaller first
  std::vector<std::string> devices;  // uuids that it must have, all of them; empty: `count` of any
  int count = 1;                     // not looked at where devices are named
  std::string kind = "any";  // gpu | cpu | any, as for recommend(); not looked at where devices are named
  int64_t memory = 0;        // bytes on each device
  bool mixed_models = false;
  bool held = false;
  std::vector<std::string> waiting_for;  // trainings not completed yet that must be
  std::string failed_dependency;         // one of `after` that failed or was cancelled; a person decides
  std::optional<double> duration;        // seconds, predicted
  std::vector<std::string> exclude;      // uuids
};

struct RunningJob {
  std::string id;
  std::vector<std::string> devices;  // held by it whatever the snapshot says
  std::optional<double> ends_at;     // predicted
};

struct ScheduleInput {
  std::vector<WaitingJob> waiting;
  std::vector<RunningJob> running;  // all that hold devices
  Snapshot snapshot;
  double now = 0;  // epoch seconds, as all times here
};

struct Start {
  std::string id;
  std::vector<std::string> devices;  // uuids, in the order of the machine
  std::vector<std::string> reasons;  // for people: why these
  std::string overtakes;             // id of the head; empty: it is first
};

struct Wait {
  std::string id;
  // held after after_failed driver devices_busy foreign_process behind; and where this machine as it is can
  // never run it: device_missing too_few_devices too_little_memory excluded unhealthy lost prohibited unknown
  // invalid
  Reason reason;
  std::optional<double> expected_start;  // where it depends on known ends only; of who is behind, a forecast
  std::vector<std::string> frees;        // what would free its devices
};

struct Decisions {
  std::vector<Start> starts;  // in the order of the queue, as are waits
  std::vector<Wait> waits;    // every waiting training that does not start
};

Decisions schedule(const ScheduleInput& input);

}  // namespace saemill
