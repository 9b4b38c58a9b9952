#include "control/launch/journal.h"

#include <fmt/format.h>

namespace saemill {

using Json = nlohmann::ordered_json;

namespace {

// Room for seq, time and attempt in a line of kMaxEventLine bytes.
constexpr size_t kMaxEvent = kMaxEventLine - 256;

}  // namespace

Journal::Journal(const RunFolder& run, JobObserver& observer)
    : log_(run.events_path()),
      observer_(observer),
      history_(run.history()),
      attempt_(history_.last_attempt) {}

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
  history_.add(written);
  observer_.on_event(written);
}

}  // namespace saemill
