#include "common/base/clock.h"
#include "engine/comm/exchange.h"

namespace saemill {
namespace {

class CpuExchange final : public Exchange {
 public:
  explicit CpuExchange(Communicator& comm) : comm_(comm), waited_(comm.wait_seconds()) {}
  std::string name() const override { return comm_.is_shared() ? "shared memory" : "copies"; }

  void gather(const std::vector<Gathered>& buffers) override {
    count(buffers);
    if (comm_.is_shared()) return comm_.barrier();
    for (const Gathered& buffer : buffers) {
      if (!buffer.view) continue;
      std::vector<size_t> bounds;
      for (const int64_t row : buffer.bounds)
        bounds.push_back(static_cast<size_t>(row) * buffer.view.row_bytes());
      comm_.all_gather(buffer.view.data, bounds);
    }
  }
  void gather_in_pieces(const std::vector<Gathered>& buffers) override { gather(buffers); }
  void await(int64_t) override {}
  void await_all() override {}
  void broadcast(const View& view, int root) override { comm_.broadcast(view.data, view.bytes(), root); }
  void fence() override { comm_.barrier(); }
  bool is_recordable() const override { return comm_.size() == 1; }
  void check() override {}
  void finish() override {}

  ExchangeCost take_cost() override {
    const double waited = comm_.wait_seconds();
    cost_.busy_ms = cost_.exposed_ms = 1e3 * (waited - waited_);
    waited_ = waited;
    return std::exchange(cost_, {});
  }

 private:
  // What others have written, in shared memory too, where it is read from their caches.
  void count(const std::vector<Gathered>& buffers) {
    const auto rank = static_cast<size_t>(comm_.rank());
    for (const Gathered& buffer : buffers) {
      if (!buffer.view) continue;
      const int64_t own = buffer.bounds[rank + 1] - buffer.bounds[rank];
      cost_.bytes_received += (buffer.bounds.back() - own) * static_cast<int64_t>(buffer.view.row_bytes());
    }
  }

  Communicator& comm_;
  ExchangeCost cost_;
  double waited_;
};

}  // namespace

std::unique_ptr<Exchange> make_cpu_exchange(Communicator& comm) {
  return std::make_unique<CpuExchange>(comm);
}

}  // namespace saemill
