// The pass over latent rows against plain loops in double. Segments and pieces are made here, without the
// kernels of group.cu, with gaps in the numbers of pieces as these leave them.
#include "engine/backend/cuda/latents.h"

#include "update_fixture.h"

namespace saemill::gpu {
namespace {

constexpr int64_t kNow = 99, kBefore = 5;
const AdamStep kAdam{0.125, 0.5, 0.75, 0.0625, 2};

struct LatentCase {
  int64_t n = 0, latents = 0, rows = 0, k = 0, aux_k = 0;
  RowPass pass = RowPass::apply;
  bool stored = false, unit_norm = true, batch = true;
  double clip = 1;
  int64_t hot = -1;   // a latent of every row that has a slot
  int64_t first = 0;  // latents before it belong to others
  bool low_copies = true;
  bool sums = true;
};

// In the order of Everything below.
enum Part : int {
  kWEnc,
  kWDec,
  kMEnc,
  kMDec,
  kVEnc,
  kVDec,
  kBEnc,
  kMBias,
  kVBias,
  kGradEnc,
  kGradDec,
  kGradBias,
  kParts
};

template <typename Low>
struct Everything {
  std::vector<float> parts[kParts];
  std::vector<Low> low_encoder, low_decoder;
  std::vector<float> block_sums;
  std::vector<double> block_norms;
  std::vector<int64_t> last_fired;
};

struct HostGroups {
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> positions, first_piece, piece_latent, piece_begin;
};

HostGroups group_plainly(const TestCodes& codes, int64_t first, int64_t last) {
  HostGroups groups;
  for (int64_t j = first; j < last; ++j) {
    for (size_t p = 0; p < codes.index.size(); ++p)
      if (codes.value[p] > 0 && codes.index[p] == j) groups.positions.push_back(static_cast<int32_t>(p));
    groups.offsets.push_back(static_cast<int64_t>(groups.positions.size()));
    const int64_t begin = groups.offsets[groups.offsets.size() - 2], end = groups.offsets.back();
    groups.first_piece.push_back(-1);
    if (end - begin <= kPieceSlots) continue;
    groups.piece_latent.push_back(-1);  // a gap
    groups.piece_begin.push_back(0);
    groups.first_piece.back() = static_cast<int32_t>(groups.piece_latent.size());
    for (int64_t at_slot = begin; at_slot < end; at_slot += kPieceSlots) {
      groups.piece_latent.push_back(static_cast<int32_t>(j - first));
      groups.piece_begin.push_back(static_cast<int32_t>(at_slot));
    }
  }
  groups.piece_latent.push_back(-1);
  groups.piece_begin.push_back(0);
  return groups;
}

template <typename Low>
struct LatentInput {
  explicit LatentInput(const LatentCase& c)
      : codes(random_codes(c.rows, c.k, c.latents, 10, c.hot)),
        aux(random_codes(c.rows, c.aux_k, c.latents, 20, c.hot)),
        centered(lows<Low>(normals(c.rows * c.n, 1))),
        residual(lows<Low>(normals(c.rows * c.n, 2))),
        aux_residual(lows<Low>(normals(c.rows * c.n, 3))) {
    const int64_t here = c.latents - c.first;
    for (int part = 0; part < kParts; ++part) {
      const int64_t cols = (part >= kBEnc && part <= kVBias) || part == kGradBias ? 1 : c.n;
      const int64_t rows = part >= kGradEnc ? here : c.latents;
      start.parts[part] = normals(rows * cols, 30 + static_cast<uint64_t>(part), part <= kWDec ? 0.5 : 0.25);
      if (part == kVEnc || part == kVDec || part == kVBias)
        for (float& v : start.parts[part]) v *= v;
    }
    const auto weights = at(c.latents * c.n), blocks = at(ceil_div(c.latents, kBlock));
    start.low_encoder.assign(weights, low_of<Low>(3.0f));
    start.low_decoder.assign(weights, low_of<Low>(4.0f));
    start.block_sums.assign(blocks * at(c.n), 5.0f);
    start.block_norms.assign(blocks, 6.0);
    start.last_fired.assign(at(c.latents), kBefore);
  }
  TestCodes codes, aux;
  std::vector<Low> centered, residual, aux_residual;
  Everything<Low> start;
};

struct RowGradient {
  std::vector<double> enc, dec;
  double bias = 0;
};

template <typename Low>
void add_codes(const LatentInput<Low>& in, const TestCodes& codes, const std::vector<Low>& residual,
               int64_t n, int64_t j, RowGradient& row) {
  for (size_t p = 0; p < codes.index.size(); ++p) {
    if (!(codes.value[p] > 0) || codes.index[p] != j) continue;
    const int64_t r = static_cast<int64_t>(p) / codes.k;
    for (int64_t i = 0; i < n; ++i) {
      row.dec[at(i)] += value_of(codes.value[p]) * value_of(residual[at(r * n + i)]);
      row.enc[at(i)] += value_of(codes.grad[p]) * value_of(in.centered[at(r * n + i)]);
    }
    row.bias += value_of(codes.grad[p]);
  }
}

void adam_plainly(double& w, double g, double& m, double& v) {
  m = kAdam.beta1 * m + (1 - kAdam.beta1) * g;
  v = kAdam.beta2 * v + (1 - kAdam.beta2) * g * g;
  const double t = static_cast<double>(kAdam.step);
  const double m_hat = m / (1 - std::pow(kAdam.beta1, t)), v_hat = v / (1 - std::pow(kAdam.beta2, t));
  w -= kAdam.lr * m_hat / (std::sqrt(v_hat) + kAdam.epsilon);
}

// The reference backend's update of latent j, on doubles.
struct Plain {
  std::vector<double> parts[kParts], block_sums, block_norms;
  std::vector<int64_t> last_fired;

  void finish(const LatentCase& c, int64_t j, RowGradient& row) {
    const int64_t n = c.n, here = j - c.first;
    if (c.pass == RowPass::accumulate) {
      std::copy(row.enc.begin(), row.enc.end(), parts[kGradEnc].begin() + here * n);
      std::copy(row.dec.begin(), row.dec.end(), parts[kGradDec].begin() + here * n);
      parts[kGradBias][at(here)] = row.bias;
      return;
    }
    double parallel = 0, squares = row.bias * row.bias, length = 0;
    for (int64_t i = 0; c.unit_norm && i < n; ++i) parallel += row.dec[at(i)] * parts[kWDec][at(j * n + i)];
    for (int64_t i = 0; i < n; ++i) {
      block_sums[at(j / kBlock * n + i)] += row.bias * parts[kWEnc][at(j * n + i)];
      row.dec[at(i)] -= parallel * parts[kWDec][at(j * n + i)];
      squares += row.dec[at(i)] * row.dec[at(i)] + row.enc[at(i)] * row.enc[at(i)];
    }
    block_norms[at(j / kBlock)] += squares;
    if (c.pass == RowPass::norm) return;
    for (int64_t i = 0; i < n; ++i) {
      const size_t w = at(j * n + i);
      adam_plainly(parts[kWEnc][w], c.clip * row.enc[at(i)], parts[kMEnc][w], parts[kVEnc][w]);
      adam_plainly(parts[kWDec][w], c.clip * row.dec[at(i)], parts[kMDec][w], parts[kVDec][w]);
      length += parts[kWDec][w] * parts[kWDec][w];
    }
    adam_plainly(parts[kBEnc][at(j)], c.clip * row.bias, parts[kMBias][at(j)], parts[kVBias][at(j)]);
    for (int64_t i = 0; c.unit_norm && i < n; ++i) parts[kWDec][at(j * n + i)] /= std::sqrt(length);
  }
};

template <typename Low>
Plain update_plainly(const LatentInput<Low>& in, const LatentCase& c) {
  Plain plain;
  for (int part = 0; part < kParts; ++part)
    plain.parts[part].assign(in.start.parts[part].begin(), in.start.parts[part].end());
  plain.block_sums.assign(in.start.block_sums.begin(), in.start.block_sums.end());
  plain.block_norms = in.start.block_norms;
  plain.last_fired = in.start.last_fired;
  if (c.pass != RowPass::accumulate) {
    std::fill(plain.block_sums.begin() + c.first / kBlock * c.n, plain.block_sums.end(), 0.0);
    std::fill(plain.block_norms.begin() + c.first / kBlock, plain.block_norms.end(), 0.0);
  }
  for (int64_t j = c.first; j < c.latents; ++j) {
    RowGradient row{std::vector<double>(at(c.n), 0.0), std::vector<double>(at(c.n), 0.0)};
    const int64_t here = j - c.first;
    if (c.stored) {
      row.enc.assign(plain.parts[kGradEnc].begin() + here * c.n,
                     plain.parts[kGradEnc].begin() + (here + 1) * c.n);
      row.dec.assign(plain.parts[kGradDec].begin() + here * c.n,
                     plain.parts[kGradDec].begin() + (here + 1) * c.n);
      row.bias = plain.parts[kGradBias][at(here)];
    }
    if (c.batch) {
      add_codes(in, in.codes, in.residual, c.n, j, row);
      if (c.aux_k > 0) add_codes(in, in.aux, in.aux_residual, c.n, j, row);
      for (size_t p = 0; p < in.codes.index.size(); ++p)
        if (in.codes.value[p] > 0 && in.codes.index[p] == j) plain.last_fired[at(j)] = kNow;
    }
    plain.finish(c, j, row);
  }
  return plain;
}

class LatentsTest : public DeviceTest {
 protected:
  struct DeviceCodes {
    Memory value, grad, offsets, positions, first_piece, piece_latent, piece_begin;
    LatentCodes codes{};
  };
  DeviceCodes upload_codes(const TestCodes& codes, int64_t first, int64_t last) {
    const HostGroups host = group_plainly(codes, first, last);
    DeviceCodes on{upload(codes.value),     upload(codes.grad),       upload(host.offsets),
                   upload(host.positions),  upload(host.first_piece), upload(host.piece_latent),
                   upload(host.piece_begin)};
    on.codes = {on.value.as<float>(),
                on.grad.as<float>(),
                static_cast<int32_t>(codes.k),
                {on.offsets.as<int64_t>(), on.positions.as<int32_t>(), on.first_piece.as<int32_t>(),
                 on.piece_latent.as<int32_t>(), on.piece_begin.as<int32_t>()},
                static_cast<int64_t>(host.piece_latent.size())};
    return on;
  }

  template <typename Low>
  Everything<Low> run(const LatentInput<Low>& in, const LatentCase& c) {
    std::vector<Memory> parts;
    for (const auto& part : in.start.parts) parts.push_back(upload(part));
    const auto part = [&](int i) { return parts[at(i)].as<float>(); };
    const DeviceCodes codes = upload_codes(in.codes, c.first, c.latents),
                      aux = upload_codes(in.aux, c.first, c.latents);
    const Memory centered = upload(in.centered), residual = upload(in.residual),
                 aux_residual = upload(in.aux_residual);
    const Memory low_encoder = upload(in.start.low_encoder), low_decoder = upload(in.start.low_decoder);
    const Memory sums = upload(in.start.block_sums), norms = upload(in.start.block_norms);
    const Memory last_fired = upload(in.start.last_fired);
    StepScalars scalars;
    scalars.adam = kAdam;
    scalars.now = kNow;
    const Memory step = upload(std::vector<StepScalars>{scalars}), clip = upload(std::vector<double>{c.clip});
    const Memory adam(sizeof(AdamConstants));
    prepare_adam(step.as<StepScalars>(), clip.as<double>(), adam.as<AdamConstants>(), stream());
    LatentArguments<Low> a;
    a.pass = c.pass;
    a.first = c.first;
    a.last = c.latents;
    a.n = c.n;
    if (c.batch) a.codes = codes.codes;
    if (c.batch && c.aux_k > 0) a.aux = aux.codes;
    a.centered = centered.as<Low>();
    a.residual = residual.as<Low>();
    a.aux_residual = aux_residual.as<Low>();
    if (c.stored) a.stored = {part(kGradEnc), part(kGradDec), part(kGradBias)};
    a.weights = {part(kWEnc), part(kWDec), part(kBEnc)};
    a.m = {part(kMEnc), part(kMDec), part(kMBias)};
    a.v = {part(kVEnc), part(kVDec), part(kVBias)};
    if (c.low_copies) a.low_encoder = low_encoder.as<Low>();
    if (c.low_copies) a.low_decoder = low_decoder.as<Low>();
    a.unit_norm = c.unit_norm;
    a.adam = adam.as<AdamConstants>();
    a.step = step.as<StepScalars>();
    a.last_fired = last_fired.as<int64_t>();
    if (c.sums) a.block_sums = sums.as<float>();
    if (c.sums) a.block_norms = norms.as<double>();
    const Memory scratch(latent_scratch_bytes(c.latents - c.first, c.n, a.codes.pieces, a.aux.pieces));
    update_latents(a, scratch.data(), stream());
    Everything<Low> got;
    for (int i = 0; i < kParts; ++i) got.parts[i] = download<float>(parts[at(i)]);
    got.low_encoder = download<Low>(low_encoder);
    got.low_decoder = download<Low>(low_decoder);
    got.block_sums = download<float>(sums);
    got.block_norms = download<double>(norms);
    got.last_fired = download<int64_t>(last_fired);
    return got;
  }

  template <typename Low>
  void expect_copies(const LatentCase& c, const LatentInput<Low>& in, const Everything<Low>& got) {
    std::vector<Low> enc = in.start.low_encoder, dec = in.start.low_decoder;
    for (int64_t i = c.first * c.n; c.pass == RowPass::apply && c.low_copies && i < c.latents * c.n; ++i) {
      enc[at(i)] = low_of<Low>(got.parts[kWEnc][at(i)]);
      dec[at(i)] = low_of<Low>(got.parts[kWDec][at(i)]);
    }
    expect_same_bits(got.low_encoder, enc, "low encoder");
    expect_same_bits(got.low_decoder, dec, "low decoder");
  }

  template <typename Low>
  void check(const LatentCase& c) {
    SCOPED_TRACE(testing::Message() << c.first << " to " << c.latents << " x " << c.n << ", " << c.rows
                                    << " rows, k " << c.k << " + " << c.aux_k << ", pass "
                                    << static_cast<int>(c.pass));
    const LatentInput<Low> in(c);
    const Plain want = update_plainly(in, c);
    const Everything<Low> first = run(in, c);
    for (int part = 0; part < kParts; ++part)
      expect_close(first.parts[part], want.parts[part], 3e-6, "part " + std::to_string(part));
    expect_close(first.block_sums, want.block_sums, 3e-6, "block_sums");
    expect_close(first.block_norms, want.block_norms, 3e-6, "block_norms");
    EXPECT_EQ(first.last_fired, want.last_fired);
    expect_copies(c, in, first);
    in_all_orders([&] {
      const Everything<Low> again = run(in, c);
      for (int part = 0; part < kParts; ++part)
        expect_same_bits(first.parts[part], again.parts[part], "part " + std::to_string(part));
      expect_same_bits(first.block_sums, again.block_sums, "block_sums");
      expect_same_bits(first.block_norms, again.block_norms, "block_norms");
      expect_same_bits(first.last_fired, again.last_fired, "last_fired");
    });
  }
  void check_both(const LatentCase& c) {
    check<float>(c);
    check<BFloat16>(c);
  }
};

constexpr LatentCase kShapes[] = {
    {.n = 16, .latents = 64, .rows = 1, .k = 1},    {.n = 40, .latents = 128, .rows = 130, .k = 7},
    {.n = 64, .latents = 100, .rows = 65, .k = 40}, {.n = 100, .latents = 64, .rows = 33, .k = 3},
    {.n = 21, .latents = 70, .rows = 40, .k = 5},   {.n = 768, .latents = 64, .rows = 20, .k = 8}};

TEST_F(LatentsTest, ApplyInManyShapes) {
  for (LatentCase c : kShapes) {
    check_both(c);
    c.aux_k = 4;
    c.clip = 0.375;
    check_both(c);
  }
}

TEST_F(LatentsTest, StoredGradients) {
  for (LatentCase c : kShapes) {
    c.stored = true;
    c.unit_norm = false;
    for (const bool batch : {true, false}) {
      c.batch = batch;
      check_both(c);
    }
  }
}

TEST_F(LatentsTest, AccumulateAndNorm) {
  for (LatentCase c : kShapes) {
    c.aux_k = 3;
    c.stored = true;
    c.pass = RowPass::accumulate;
    check_both(c);
    c.pass = RowPass::norm;
    check_both(c);
    c.stored = false;
    check_both(c);
  }
}

TEST_F(LatentsTest, LongSegmentsAreSummedByPieces) {
  for (const int64_t n : {16, 21, 132})
    for (const RowPass pass : {RowPass::apply, RowPass::norm})
      check_both({.n = n, .latents = 64, .rows = 700, .k = 3, .aux_k = 2, .pass = pass, .hot = 5});
  check_both(
      {.n = 16, .latents = 64, .rows = 700, .k = 3, .pass = RowPass::accumulate, .stored = true, .hot = 63});
}

TEST_F(LatentsTest, ARangeLeavesOtherLatentsAlone) {
  for (const RowPass pass : {RowPass::apply, RowPass::norm, RowPass::accumulate})
    check_both({.n = 40, .latents = 200, .rows = 30, .k = 6, .pass = pass, .stored = true, .first = 128});
}

TEST_F(LatentsTest, LowCopiesMayBeLeftOut) {
  check_both({.n = 40, .latents = 64, .rows = 9, .k = 6, .low_copies = false});
}

TEST_F(LatentsTest, SumsMayBeLeftOut) {
  const LatentCase with{.n = 40, .latents = 128, .rows = 9, .k = 6},
      without{.n = 40, .latents = 128, .rows = 9, .k = 6, .sums = false};
  const LatentInput<BFloat16> in(with);
  const Everything<BFloat16> want = run(in, with), got = run(in, without);
  for (int part = 0; part < kParts; ++part)
    expect_same_bits(got.parts[part], want.parts[part], "part " + std::to_string(part));
  EXPECT_EQ(got.block_sums, in.start.block_sums);
  EXPECT_EQ(got.block_norms, in.start.block_norms);
}

TEST_F(LatentsTest, WideRows) {
  for (const int64_t n : {4096, 4100, 8192, 8200, 8201})
    for (const RowPass pass : {RowPass::apply, RowPass::norm})
      check<BFloat16>({.n = n, .latents = 3, .rows = 6, .k = 2, .aux_k = 1, .pass = pass});
  check<float>({.n = 8200, .latents = 2, .rows = 3, .k = 1, .pass = RowPass::accumulate, .stored = true});
}

// A row of zeros has no direction, and its gradient none parallel to it.
TEST_F(LatentsTest, AZeroRowStaysFinite) {
  const LatentCase c{.n = 16, .latents = 64, .rows = 4, .k = 1};
  LatentInput<BFloat16> in(c);
  std::fill(in.codes.value.begin(), in.codes.value.end(), 0.0f);
  for (const int part : {kWDec, kMDec, kVDec})
    std::fill(in.start.parts[part].begin(), in.start.parts[part].end(), 0.0f);
  const Everything<BFloat16> got = run(in, c);
  EXPECT_EQ(got.parts[kWDec], std::vector<float>(at(64 * 16), 0.0f));
}

}  // namespace
}  // namespace saemill::gpu
