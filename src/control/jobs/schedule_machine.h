// The machine as schedule() sees it: who has each device, and until when.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "control/jobs/schedule.h"

namespace saemill {

inline constexpr double kUnknownEnd = std::numeric_limits<double>::infinity();

enum class Use { free, held, foreign, barred };  // barred: unhealthy, lost, prohibited, unknown

struct Place {
  const Device* device = nullptr;
  std::string name;  // gpu:0
  size_t model = 0;
  bool cpu = false;
  Use use = Use::barred;
  double at = kUnknownEnd;        // when it can be had: now, a predicted end, or kUnknownEnd
  std::optional<int64_t> memory;  // what a training finds on it: now where it is free, else once it is
  std::string frees;              // what would free it, for people
};

struct Machine {
  explicit Machine(const ScheduleInput& input);

  // All of them, from now until `end`.
  void give(const std::vector<size_t>& taken, const std::string& training, double end);

  double now = 0;
  std::vector<Place> places;     // in the order of the snapshot
  std::vector<size_t> earliest;  // of places that are not barred, by (at, place)
  size_t models = 0;
  bool has_gpu = false;

 private:
  void sort();
};

// What one training could run on.
struct Demand {
  Demand(const Machine& machine, const WaitingJob& waiting);

  // Devices of one group may serve together: those of one model, or all.
  size_t group(const Place& place) const { return together ? 0 : place.model; }

  const WaitingJob& job;
  size_t count = 1;
  bool named = false, together = false, cpu = false;
  size_t groups = 1;
  std::vector<size_t> able;  // places that serve now or later, the earliest first

  // The group that can be had first: the fewest unknown ends, then the earliest of those known.
  struct Outlook {
    bool possible = false;
    size_t group = 0;
    size_t unknown = 0;  // of the devices needed, those whose end nobody knows
    double at = 0;       // the last of the known
  };
  Outlook outlook(const Machine& machine) const;
};

bool is_wanted_kind(const Machine& machine, const WaitingJob& job, const Place& place);
bool holds_memory(const Place& place, std::optional<int64_t> there, int64_t memory);  // with the usual margin
bool is_named(const std::vector<std::string>& uuids, const Place& place);

std::string clock_time(double at, double now);  // "14:20 UTC"; with the date where it is not within a day

}  // namespace saemill
