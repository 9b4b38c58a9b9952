// A backend with the buffers of one step, filled and read as doubles whatever their type.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/plan/tiles.h"
#include "engine/backend/backend.h"

namespace saemill {

struct Shape {
  int64_t batch, d_in, d_sae, k, aux_k;
};

inline double value_of(DType dtype, const std::byte* data, int64_t i) {
  if (dtype == DType::f64) return reinterpret_cast<const double*>(data)[i];
  if (dtype == DType::f32) return static_cast<double>(reinterpret_cast<const float*>(data)[i]);
  if (dtype == DType::i32) return reinterpret_cast<const int32_t*>(data)[i];
  if (dtype == DType::i64) return static_cast<double>(reinterpret_cast<const int64_t*>(data)[i]);
  const uint32_t bits = static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(data)[i]) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return static_cast<double>(value);
}

inline void set_value(DType dtype, std::byte* data, int64_t i, double value) {
  if (dtype == DType::f64) reinterpret_cast<double*>(data)[i] = value;
  if (dtype == DType::f32) reinterpret_cast<float*>(data)[i] = static_cast<float>(value);
  if (dtype == DType::i32) reinterpret_cast<int32_t*>(data)[i] = static_cast<int32_t>(value);
  if (dtype == DType::i64) reinterpret_cast<int64_t*>(data)[i] = static_cast<int64_t>(value);
  if (dtype == DType::bf16) {
    const float rounded = static_cast<float>(value);
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    reinterpret_cast<uint16_t*>(data)[i] = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
}

// A backend with the buffers of one step.
class Rig {
 public:
  Rig(std::unique_ptr<Backend> backend, const Shape& shape) : backend_(std::move(backend)), s_(shape) {
    const DType real = backend_->real(), low = backend_->low();
    const int64_t padded = round_up(s_.batch, kRowTile), n = s_.d_in, M = s_.d_sae;
    add("x", real, s_.batch, n);
    for (const char* name : {"W_enc", "W_dec", "m.W_enc", "m.W_dec", "v.W_enc", "v.W_dec"})
      add(name, real, M, n);
    for (const char* name : {"b_enc", "m.b_enc", "v.b_enc"}) add(name, real, 1, M);
    add("b_dec", real, 1, n);
    for (const char* name : {"centered", "residual", "aux_residual"}) add(name, low, padded, n);
    for (const char* name : {"packed", "packed_dec", "packed_dec_t"})
      add(name, DType::u8, ceil_div(M, latent_chunk(M)),
          round_up(backend_->packed_chunk_bytes() + 512 * 64 * 8, 64));
    views_["packed"].cols = views_["packed_dec_t"].cols = backend_->packed_chunk_bytes();
    add_codes("codes", s_.k);
    add_codes("aux", s_.aux_k);
    add("row_stats", DType::f64, s_.batch, kRowStats);
    add("block_sums", real, ceil_div(s_.batch, kBlock), n);
    add("latent_sums", real, ceil_div(M, kBlock), n);
    add("latent_norms", DType::f64, 1, ceil_div(M, kBlock));
    add("offsets", DType::i64, 1, M + 1);
    add("positions", DType::i32, s_.batch, s_.k);
    add("aux_offsets", DType::i64, 1, M + 1);
    add("aux_positions", DType::i32, s_.batch, std::max<int64_t>(s_.aux_k, 1));
    add("last_fired", DType::i64, 1, M);
    add("dead", DType::i32, 1, M);
    add("grad_W_enc", real, M, n);
    add("grad_W_dec", real, M, n);
    add("grad_b_enc", real, 1, M);
    add("moments", DType::f64, ceil_div(s_.batch, kBlock), n + 1);
  }

  void add(const std::string& name, DType dtype, int64_t rows, int64_t cols) {
    auto& memory = memory_[name];
    memory.resize(static_cast<size_t>(rows * cols) * dtype_size(dtype) + 64);
    auto address = reinterpret_cast<uintptr_t>(memory.data());
    views_[name] = {memory.data() + (64 - address % 64) % 64, dtype, rows, cols};
  }
  void add_codes(const std::string& name, int64_t k) {
    add(name + ".index", DType::i32, s_.batch, k);
    add(name + ".value", backend_->real(), s_.batch, k);
    add(name + ".grad", backend_->real(), s_.batch, k);
  }
  View& operator[](const std::string& name) { return views_.at(name); }
  double get(const std::string& name, int64_t i) {
    return value_of(views_.at(name).dtype, views_.at(name).data, i);
  }
  void set(const std::string& name, int64_t i, double value) {
    set_value(views_.at(name).dtype, views_.at(name).data, i, value);
  }
  Codes codes(const std::string& name) {
    return {views_.at(name + ".index"), views_.at(name + ".value"), views_.at(name + ".grad")};
  }
  SaeViews sae(const std::string& prefix = "") {
    return {views_.at(prefix + "W_enc"), views_.at(prefix + "W_dec"), views_.at(prefix + "b_enc"),
            views_.at("b_dec")};
  }
  PackedViews packed(bool dense) {
    if (!dense) return {views_.at("packed"), {}, {}};
    return {views_.at("packed"), views_.at("packed_dec"), views_.at("packed_dec_t")};
  }
  Backend& backend() { return *backend_; }
  const Shape& shape() const { return s_; }

  void encode(bool with_aux) {
    backend_->center((*this)["x"], (*this)["b_dec"], (*this)["centered"]);
    backend_->pack(sae(), packed(false), 0, s_.d_sae);
    View dead = (*this)["dead"];
    dead.cols = with_aux ? dead_count_ : 0;
    more_ = backend_->select({(*this)["centered"], s_.batch, (*this)["packed"], (*this)["b_enc"],
                              codes("codes"), dead, with_aux ? codes("aux") : Codes{}});
  }
  DecodeTask decode_task(bool with_aux) {
    DecodeTask task{.x = (*this)["x"],
                    .sae = sae(),
                    .codes = codes("codes"),
                    .scale = 2.0 / 64,
                    .aux_coefficient = 0.25,
                    .l1 = 0.5,
                    .residual = (*this)["residual"],
                    .row_stats = (*this)["row_stats"],
                    .block_sums = (*this)["block_sums"]};
    if (with_aux) task.aux = codes("aux"), task.aux_residual = (*this)["aux_residual"];
    return task;
  }
  void decode(bool with_aux) { backend_->decode(decode_task(with_aux)); }
  LatentTask latent_task(bool with_aux, bool dense) {
    LatentTask task{.first = 0,
                    .last = s_.d_sae,
                    .rows = s_.batch,
                    .sae = sae(),
                    .m = sae("m."),
                    .v = sae("v."),
                    .packed = packed(dense),
                    .centered = (*this)["centered"],
                    .residual = (*this)["residual"],
                    .codes = codes("codes"),
                    .by_latent = {(*this)["offsets"], (*this)["positions"]},
                    .l1 = 0.5,
                    .adam = {0.125, 0.5, 0.75, 0.0625, 2},
                    .last_fired = (*this)["last_fired"],
                    .now = 99,
                    .block_sums = (*this)["latent_sums"],
                    .block_norms = (*this)["latent_norms"]};
    if (with_aux) {
      task.aux = codes("aux");
      task.aux_residual = (*this)["aux_residual"];
      task.aux_by_latent = {(*this)["aux_offsets"], (*this)["aux_positions"]};
    }
    return task;
  }
  void group(bool with_aux) {
    backend_->group_by_latent(codes("codes"), 0, s_.d_sae, {(*this)["offsets"], (*this)["positions"]});
    if (with_aux)
      backend_->group_by_latent(codes("aux"), 0, s_.d_sae,
                                {(*this)["aux_offsets"], (*this)["aux_positions"]});
  }
  void set_dead(int64_t count, int64_t stride) {
    dead_count_ = std::min(count, ceil_div(s_.d_sae, stride));
    for (int64_t i = 0; i < dead_count_; ++i) set("dead", i, static_cast<double>(i * stride));
  }
  void set_dead_list(const std::vector<int64_t>& dead) {
    dead_count_ = static_cast<int64_t>(dead.size());
    for (int64_t i = 0; i < dead_count_; ++i)
      set("dead", i, static_cast<double>(dead[static_cast<size_t>(i)]));
  }
  bool more() const { return more_; }

 private:
  std::unique_ptr<Backend> backend_;
  Shape s_;
  std::map<std::string, std::vector<std::byte>> memory_;
  std::map<std::string, View> views_;
  int64_t dead_count_ = 0;
  bool more_ = false;
};

}  // namespace saemill
