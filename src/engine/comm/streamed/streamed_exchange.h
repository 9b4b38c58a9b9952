// What exchanges on GPUs have in common: a communication stream of high priority beside the compute stream,
// ordered by events both ways, pieces, deadlines and costs. How bytes get from one rank to another is left to
// the derived class. Not while a graph is recorded: deadlines and costs need events that the host can ask.
#pragma once

#include <deque>

#include "engine/comm/exchange.h"
#include "engine/gpu/runtime.h"

namespace saemill {

// Bytes of which rank r has written [bounds[r], bounds[r + 1]).
struct Share {
  std::byte* data = nullptr;
  std::vector<size_t> bounds;

  size_t bytes_of(int rank) const {
    const auto r = static_cast<size_t>(rank);
    return bounds[r + 1] - bounds[r];
  }
  std::byte* begin_of(int rank) const { return data + bounds[static_cast<size_t>(rank)]; }
  size_t bytes() const { return bounds.back() - bounds.front(); }
};

class StreamedExchange : public Exchange {
 public:
  void gather(const std::vector<Gathered>& buffers) override;
  void gather_in_pieces(const std::vector<Gathered>& buffers) override;
  void await(int64_t end) override;
  void await_all() override;
  void broadcast(const View& view, int root) override;
  void check() override;
  void finish() override;
  ExchangeCost take_cost() override;

 protected:
  // `compute` outlives the exchange.
  StreamedExchange(int rank, int size, const gpu::Stream& compute, int64_t piece_bytes,
                   double deadline_seconds);

  // Enqueues on transfers() that every rank gets all of these bytes. Returns when the stream holds all of it.
  virtual void move(const char* operation, const std::vector<Share>& shares) = 0;
  // Throws where the transport or a peer has failed. Waits for nothing.
  virtual void check_transport(const char* operation) = 0;
  // Ends what is under way, as far as possible, and throws Error{retry}.
  virtual void give_up(const std::string& reason) = 0;

  int rank() const { return rank_; }
  int size() const { return size_; }
  const gpu::Stream& compute() const { return compute_; }
  const gpu::Stream& transfers() const { return transfers_; }
  void ensure_all_awaited() const;

 private:
  struct Operation {
    const char* name;
    gpu::Event start, end;  // of the communication stream
    double seen_at = 0;     // when the host first saw it running
  };
  struct Wait {
    gpu::Event before, after;  // of the compute stream
  };

  std::vector<Share> shares_of(const std::vector<Gathered>& buffers, int64_t first, int64_t last) const;
  void start_after_compute();
  void enqueue(const char* name, const std::vector<Share>& shares);
  void move_at_once(const char* name, const std::vector<Share>& shares);
  void hold_compute(const gpu::Event& until);
  void collect();
  void overdue();
  gpu::Event timed_event();

  const int rank_, size_;
  const gpu::Stream& compute_;
  const int64_t piece_bytes_;
  const double deadline_;
  gpu::Stream transfers_{gpu::Stream::Priority::high};
  gpu::Event written_;  // the compute stream has written what is moved next

  std::vector<int64_t> piece_ends_;   // in rows, ascending; empty where nothing is to be awaited
  std::vector<gpu::Event> arrivals_;  // of the pieces, used again and again
  size_t awaited_ = 0;                // so many pieces

  std::deque<Operation> under_way_;  // oldest first
  std::deque<Wait> waits_;
  std::vector<gpu::Event> spare_;
  ExchangeCost cost_;
};

}  // namespace saemill
