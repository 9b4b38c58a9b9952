#include "control/jobs/event_reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/protocol/events.h"
#include "control/jobs/event_line.h"

namespace saemill {
namespace {

using Json = nlohmann::json;

// Fewer bytes than asked for only at the end of the file.
size_t read_at(const Fd& file, const std::filesystem::path& path, int64_t offset, char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n =
        ::pread(file.get(), data + done, size - done, static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::retry, "{}: cannot be read: {}", path.string(), std::strerror(errno));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

}  // namespace

struct EventReader::Batch {
  RunPosition after;
  std::vector<RunEvent> events;       // to store
  std::vector<AppliedEvent> to_tell;  // the same, to be returned
};

EventReader::EventReader(Database& database, std::string training_id, std::filesystem::path events_path)
    : store_(database), training_id_(std::move(training_id)), path_(std::move(events_path)) {}

std::vector<AppliedEvent> EventReader::read_more() {
  for (;;) {
    if (!position_) position_ = store_.position(training_id_);
    if (!position_) fail(ErrorCode::usage, "there is no training {}", training_id_);
    const bool was_made = unsure_position_ && unsure_position_->offset == position_->offset &&
                          unsure_position_->seq == position_->seq;
    unsure_position_.reset();
    auto unsure_events = std::exchange(unsure_events_, {});
    if (was_made && !unsure_events.empty()) return unsure_events;

    const auto lines = read_lines(position_->offset);
    if (!lines) return {};
    Batch batch{*position_, {}, {}};
    parse(*lines, batch);
    const RunPosition before = *std::exchange(position_, std::nullopt);
    bool applied = false;
    try {
      applied = store_.apply(training_id_, before, batch.after, batch.events);
    } catch (const Error&) {
      unsure_position_ = batch.after;
      unsure_events_ = std::move(batch.to_tell);
      throw;
    }
    if (!applied) continue;  // another reader was faster: go on from where it stands
    position_ = batch.after;
    if (!batch.to_tell.empty()) return std::move(batch.to_tell);
  }
}

void EventReader::check_file(const Fd& file, int64_t offset, int64_t size) const {
  if (size < offset) {
    fail(ErrorCode::bad_data,
         "{}: has {} bytes, but {} were read before: it was cut or replaced; nothing of it is applied",
         path_.string(), size, offset);
  }
  char before = '\n';
  if (offset > 0 && read_at(file, path_, offset - 1, &before, 1) == 1 && before != '\n') {
    fail(ErrorCode::bad_data,
         "{}: has {} bytes, and no line ends at {}, up to where it was read before: it was replaced; nothing"
         " of it is applied",
         path_.string(), size, offset);
  }
}

std::optional<EventReader::Lines> EventReader::read_lines(int64_t offset) const {
  const Fd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT && offset == 0) return std::nullopt;
  if (!file && errno == ENOENT) {
    fail(ErrorCode::bad_data, "{}: is gone, after {} bytes of it were read", path_.string(), offset);
  }
  if (!file) fail(ErrorCode::retry, "{}: cannot be opened: {}", path_.string(), std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    fail(ErrorCode::retry, "{}: cannot be read: {}", path_.string(), std::strerror(errno));
  }
  check_file(file, offset, status.st_size);
  Lines lines;
  const auto left = static_cast<size_t>(status.st_size - offset);
  lines.text.resize(std::min(left, kMostPerRead));
  lines.text.resize(read_at(file, path_, offset, lines.text.data(), lines.text.size()));
  const size_t last = lines.text.rfind('\n');
  if (last == std::string::npos) {
    return lines.text.size() < kMostPerRead ? std::nullopt : skip_line(file, offset);
  }
  lines.text.resize(last + 1);
  lines.end = offset + static_cast<int64_t>(lines.text.size());
  return lines;
}

std::optional<EventReader::Lines> EventReader::skip_line(const Fd& file, int64_t offset) const {
  std::string piece(kMostPerRead, '\0');
  for (;; offset += static_cast<int64_t>(piece.size())) {
    piece.resize(read_at(file, path_, offset, piece.data(), piece.size()));
    const size_t newline = piece.find('\n');
    if (newline != std::string::npos) return Lines{{}, offset + static_cast<int64_t>(newline) + 1, true};
    if (piece.size() < kMostPerRead) return std::nullopt;
  }
}

void EventReader::parse(const Lines& lines, Batch& batch) const {
  const int64_t skipped_before = batch.after.skipped;
  batch.after.offset = lines.end;
  if (lines.too_long) ++batch.after.skipped;
  std::string_view rest = lines.text;
  while (!rest.empty()) {
    const size_t newline = rest.find('\n');
    add_line(rest.substr(0, newline), batch);
    rest.remove_prefix(newline + 1);
  }
  if (batch.after.skipped == skipped_before) return;
  add_warning(batch, 0, static_cast<int64_t>(epoch_seconds() * 1e3),
              {{"code", "skipped_lines"},
               {"message", fmt::format("{}: {} lines skipped so far: longer than {} bytes, or no events",
                                       path_.string(), batch.after.skipped, kMaxEventLine)},
               {"count", batch.after.skipped}});
}

void EventReader::add_line(std::string_view text, Batch& batch) const {
  auto line = text.size() < kMaxEventLine ? parse_event_line(text) : std::nullopt;
  if (!line) {
    ++batch.after.skipped;
    return;
  }
  RunEvent& event = line->event;
  const int64_t expected = batch.after.seq + 1;
  if (event.seq < expected) return;
  batch.after.attempt = std::max(batch.after.attempt, event.attempt);
  if (event.seq > expected) {
    add_warning(
        batch, expected, event.time_ms,
        {{"code", "missing_events"},
         {"message", fmt::format("{}: events {} to {} are missing", path_.string(), expected, event.seq - 1)},
         {"first", expected},
         {"last", event.seq - 1}});
  }
  batch.after.seq = event.seq;
  if (event.event != "metrics") event.data = text;
  batch.to_tell.push_back({event.seq, event.time_ms, event.attempt, event.event, std::move(line->data)});
  batch.events.push_back(std::move(event));
}

void EventReader::add_warning(Batch& batch, int64_t seq, int64_t time_ms, Json data) const {
  RunEvent event{
      .seq = seq, .time_ms = time_ms, .attempt = batch.after.attempt, .event = "warning", .data = ""};
  data["seq"] = seq;
  data["time"] = utc_time((static_cast<double>(time_ms) + 0.5) / 1e3);
  data["attempt"] = event.attempt;
  data["event"] = event.event;
  event.data = data.dump(-1, ' ', false, Json::error_handler_t::replace);
  batch.to_tell.push_back({seq, time_ms, event.attempt, event.event, std::move(data)});
  batch.events.push_back(std::move(event));
}

}  // namespace saemill
