#include "engine/comm/streamed/streamed_exchange.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"

namespace saemill {
namespace {

// Each piece costs the host an operation. So many hide all but 1/32 of what could be hidden: docs/scaling.md.
constexpr int64_t kMostPieces = 32;

bool ascending_within(const std::vector<int64_t>& bounds, int64_t rows) {
  return bounds.front() >= 0 && bounds.back() <= rows && std::is_sorted(bounds.begin(), bounds.end());
}

int64_t rows_of(const std::vector<Gathered>& buffers) {
  int64_t rows = 0;
  for (const Gathered& buffer : buffers)
    if (buffer.view) rows = std::max(rows, buffer.view.rows);
  return rows;
}

size_t row_bytes_of(const std::vector<Gathered>& buffers) {
  size_t bytes = 0;
  for (const Gathered& buffer : buffers)
    if (buffer.view) bytes += buffer.view.row_bytes();
  return bytes;
}

}  // namespace

StreamedExchange::StreamedExchange(int rank, int size, const gpu::Stream& compute, int64_t piece_bytes,
                                   double deadline_seconds)
    : rank_(rank), size_(size), compute_(compute), piece_bytes_(piece_bytes), deadline_(deadline_seconds) {
  ensure(piece_bytes > 0, "pieces of an exchange hold no bytes");
  ensure(deadline_seconds > 0, "an exchange has no deadline");
}

void StreamedExchange::gather(const std::vector<Gathered>& buffers) {
  ensure_all_awaited();
  move_at_once("gather", shares_of(buffers, 0, rows_of(buffers)));
}

void StreamedExchange::broadcast(const View& view, int root) {
  ensure_all_awaited();
  ensure(0 <= root && root < size_, "a broadcast comes from a rank that does not exist");
  if (!view || view.bytes() == 0) return;
  Share share{view.data, std::vector<size_t>(static_cast<size_t>(size_) + 1, 0)};
  std::fill(share.bounds.begin() + root + 1, share.bounds.end(), view.bytes());
  move_at_once("broadcast", {share});
}

void StreamedExchange::gather_in_pieces(const std::vector<Gathered>& buffers) {
  ensure_all_awaited();
  const int64_t rows = rows_of(buffers);
  for (const Gathered& buffer : buffers)
    ensure(!buffer.view || buffer.view.rows == rows, "buffers of other rows are gathered in pieces");
  const auto row_bytes = static_cast<int64_t>(row_bytes_of(buffers));
  if (rows == 0 || row_bytes == 0) return;
  const int64_t piece_rows =
      std::max({int64_t{1}, piece_bytes_ / row_bytes, (rows + kMostPieces - 1) / kMostPieces});
  start_after_compute();
  for (int64_t first = 0; first < rows; first += piece_rows) {
    const int64_t last = std::min(rows, first + piece_rows);
    enqueue("gather in pieces", shares_of(buffers, first, last));
    if (arrivals_.size() == piece_ends_.size()) arrivals_.emplace_back();
    arrivals_[piece_ends_.size()].record(transfers_);
    piece_ends_.push_back(last);
  }
}

void StreamedExchange::await(int64_t end) {
  if (end <= 0 || awaited_ == piece_ends_.size()) return;
  const auto holds_end = std::lower_bound(piece_ends_.begin(), piece_ends_.end(), end);
  ensure(holds_end != piece_ends_.end(), "rows are awaited that are not gathered");
  const auto piece = static_cast<size_t>(holds_end - piece_ends_.begin());
  if (piece < awaited_) return;
  // Pieces arrive in order, so this one stands for all before it.
  hold_compute(arrivals_[piece]);
  awaited_ = piece + 1;
}

void StreamedExchange::await_all() {
  if (!piece_ends_.empty()) await(piece_ends_.back());
  piece_ends_.clear();
  awaited_ = 0;
}

void StreamedExchange::check() {
  collect();
  check_transport(under_way_.empty() ? "an exchange" : under_way_.front().name);
  // From when it was first seen running: before that it waits for the compute stream, which may hold the work
  // of many steps.
  if (under_way_.empty() || !under_way_.front().start.done()) return;
  double& seen_at = under_way_.front().seen_at;
  if (seen_at == 0) seen_at = monotonic_seconds();
  if (monotonic_seconds() - seen_at > deadline_) overdue();
}

void StreamedExchange::finish() {
  const double start = monotonic_seconds();
  for (check(); !under_way_.empty() || !waits_.empty(); check()) {
    if (monotonic_seconds() - start > deadline_) overdue();
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

ExchangeCost StreamedExchange::take_cost() {
  finish();
  ExchangeCost cost = std::exchange(cost_, {});
  // A wait is measured with the latency of the events around it.
  cost.exposed_ms = std::min(cost.exposed_ms, cost.busy_ms);
  return cost;
}

void StreamedExchange::ensure_all_awaited() const {
  ensure(piece_ends_.empty(), "an exchange is used before await_all()");
}

// Of rows [first, last); bytes that nobody moves are left out.
std::vector<Share> StreamedExchange::shares_of(const std::vector<Gathered>& buffers, int64_t first,
                                               int64_t last) const {
  std::vector<Share> shares;
  for (const Gathered& buffer : buffers) {
    if (!buffer.view) continue;
    ensure(buffer.bounds.size() == static_cast<size_t>(size_) + 1 &&
               ascending_within(buffer.bounds, buffer.view.rows),
           "the bounds of a gather do not fit the ranks or the matrix");
    Share share{buffer.view.data, {}};
    for (const int64_t bound : buffer.bounds)
      share.bounds.push_back(static_cast<size_t>(std::clamp(bound, first, last)) * buffer.view.row_bytes());
    if (share.bytes() > 0) shares.push_back(std::move(share));
  }
  return shares;
}

void StreamedExchange::start_after_compute() {
  written_.record(compute_);
  written_.make_wait(transfers_);
}

void StreamedExchange::enqueue(const char* name, const std::vector<Share>& shares) {
  if (shares.empty()) return;
  Operation operation{name, timed_event(), timed_event()};
  operation.start.record(transfers_);
  move(name, shares);
  operation.end.record(transfers_);
  under_way_.push_back(std::move(operation));
  for (const Share& share : shares)
    cost_.bytes_received += static_cast<int64_t>(share.bytes() - share.bytes_of(rank_));
}

void StreamedExchange::move_at_once(const char* name, const std::vector<Share>& shares) {
  if (shares.empty()) return;
  start_after_compute();
  enqueue(name, shares);
  hold_compute(under_way_.back().end);
}

void StreamedExchange::hold_compute(const gpu::Event& until) {
  Wait wait{timed_event(), timed_event()};
  wait.before.record(compute_);
  until.make_wait(compute_);
  wait.after.record(compute_);
  waits_.push_back(std::move(wait));
}

// Counts what has happened. Its events serve again.
void StreamedExchange::collect() {
  while (!under_way_.empty() && under_way_.front().end.done()) {
    Operation& oldest = under_way_.front();
    cost_.busy_ms += gpu::elapsed_ms(oldest.start, oldest.end);
    spare_.push_back(std::move(oldest.start));
    spare_.push_back(std::move(oldest.end));
    under_way_.pop_front();
  }
  while (!waits_.empty() && waits_.front().after.done()) {
    Wait& oldest = waits_.front();
    cost_.exposed_ms += gpu::elapsed_ms(oldest.before, oldest.after);
    spare_.push_back(std::move(oldest.before));
    spare_.push_back(std::move(oldest.after));
    waits_.pop_front();
  }
}

void StreamedExchange::overdue() {
  const char* what = under_way_.empty() ? "the work around an exchange" : under_way_.front().name;
  give_up(fmt::format("rank {}: {} has not finished after {:g} s", rank_, what, deadline_));
}

gpu::Event StreamedExchange::timed_event() {
  if (spare_.empty()) return gpu::Event(gpu::Event::Timing::on);
  gpu::Event event = std::move(spare_.back());
  spare_.pop_back();
  return event;
}

}  // namespace saemill
