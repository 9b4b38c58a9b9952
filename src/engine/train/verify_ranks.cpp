#include "engine/train/verify_ranks.h"

#include <algorithm>
#include <map>

#include "common/base/error.h"
#include "common/formats/safetensors.h"

namespace saemill {
namespace {

constexpr size_t kPiece = size_t{16} << 20;

uint32_t checksum(const View& view, Backend& backend) {
  uint32_t crc = 0;
  std::vector<std::byte> piece;
  for (size_t at = 0; at < view.bytes(); at += kPiece) {
    piece.resize(std::min(kPiece, view.bytes() - at));
    backend.read(piece.data(), view.data + at, piece.size());
    crc = crc32c(crc, piece);
  }
  return crc;
}

// What most ranks have; of several, what the lowest rank has.
double common_value(const std::vector<double>& values) {
  std::map<double, size_t> counts;
  for (const double value : values) ++counts[value];
  return *std::max_element(values.begin(), values.end(),
                           [&](double a, double b) { return counts[a] < counts[b]; });
}

}  // namespace

void verify_ranks(const std::vector<std::pair<std::string, View>>& state, int64_t step, Backend& backend,
                  Communicator& comm) {
  const auto ranks = static_cast<size_t>(comm.size());
  std::vector<double> sums(ranks * state.size());
  for (size_t i = 0; i < state.size(); ++i)
    sums[i * ranks + static_cast<size_t>(comm.rank())] = checksum(state[i].second, backend);
  comm.all_reduce(std::span<double>(sums), Reduce::sum);
  for (size_t i = 0; i < state.size(); ++i) {
    const std::vector<double> values(sums.begin() + static_cast<std::ptrdiff_t>(i * ranks),
                                     sums.begin() + static_cast<std::ptrdiff_t>((i + 1) * ranks));
    const double expected = common_value(values);
    std::string others;
    for (size_t rank = 0; rank < ranks; ++rank)
      if (values[rank] != expected) others += fmt::format("{}{}", others.empty() ? "" : ", ", rank);
    if (!others.empty())
      fail(ErrorCode::internal, "step {}: rank {} holds another {} than the rest (debug.verify_ranks_every)",
           step, others, state[i].first);
  }
}

}  // namespace saemill
