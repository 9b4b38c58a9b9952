#include "control/launch/journal.h"

#include <fmt/format.h>

#include <algorithm>

namespace saemill {

using Json = nlohmann::ordered_json;

namespace {

// Room for seq, time and attempt in a line of kMaxEventLine bytes.
constexpr size_t kMaxEvent = kMaxEventLine - 256;

}  // namespace

Journal::Journal(const RunFolder& run, JobObserver& observer) : log_(run.events_path()), observer_(observer) {
  const EventHistory history = run.history();
  attempt_ = history.last_attempt;
  last_step_ = history.last_step;
}

void Journal::write(const Json& event) {
  // A log's tail, quoted in a warning, need not be UTF-8.
  const size_t size = event.dump(-1, ' ', false, Json::error_handler_t::replace).size();
  if (size > kMaxEvent) {
    write({{"event", "warning"},
           {"code", "skipped_event"},
           {"message", fmt::format("an event '{}' of {} bytes does not fit into a line of events.jsonl",
                                   event["event"].get<std::string>(), size)}});
    return;
  }
  const Json written = log_.append(attempt_, event);
  const auto step = event.find("step");
  if (step != event.end() && step->is_number_integer()) {
    const auto value = step->get<int64_t>();
    last_step_ = event["event"] == "rewind" ? value : std::max(last_step_, value);
  }
  observer_.on_event(written);
}

}  // namespace saemill
