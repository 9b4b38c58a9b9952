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

// A backend with the buffers of one step. Tests read and write a copy of each buffer in this process's
// memory, which is brought to the backend before it works, and fetched when it is read afterwards.
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
    for (const char* name : {"packed", "packed_dec_t"})
      buffers_[name].view.cols = backend_->packed_chunk_bytes();
    if (backend_->is_asynchronous()) buffers_["packed_dec"].view.cols = backend_->packed_chunk_bytes();
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
    add("fired_before", DType::i64, 1, M);
    add("dead", DType::i32, 1, M + 1);
    add("overflow", DType::i32, 1, 1);
    add("sums", DType::f64, 1, kStepSums);
    add("bias_sums", DType::f64, 1, n);
    add("moment_sums", DType::f64, 1, n + 1);
    add("grad_W_enc", real, M, n);
    add("grad_W_dec", real, M, n);
    add("grad_b_enc", real, 1, M);
    add("grad_b_dec", real, 1, n);
    add("moments", DType::f64, ceil_div(s_.batch, kBlock), n + 1);
    add("scalars", DType::u8, 1, sizeof(StepScalars));
    set_scalars({{0.125, 0.5, 0.75, 0.0625, 2}, 0.5, kSeen, 99});
    backend_->reserve({s_.d_in, s_.d_sae, s_.batch, s_.batch, s_.k, s_.aux_k, s_.d_sae, true,
                       static_cast<int64_t>(dtype_size(low))});
  }

  void add(const std::string& name, DType dtype, int64_t rows, int64_t cols) {
    Buffer& buffer = buffers_[name];
    const size_t bytes = static_cast<size_t>(rows * cols) * dtype_size(dtype);
    buffer.copy.assign(bytes + 64, std::byte{});
    std::byte* data = backend_->allocate(bytes);
    buffer.own = data == nullptr;
    const auto address = reinterpret_cast<uintptr_t>(buffer.copy.data());
    buffer.view = {buffer.own ? buffer.copy.data() + (64 - address % 64) % 64 : data, dtype, rows, cols};
    if (buffer.own) buffer.begin = buffer.view.data - buffer.copy.data();
  }
  void add_codes(const std::string& name, int64_t k) {
    add(name + ".index", DType::i32, s_.batch, k);
    add(name + ".value", backend_->real(), s_.batch, k);
    add(name + ".grad", backend_->real(), s_.batch, k);
  }
  // For the backend.
  View operator[](const std::string& name) { return buffers_.at(name).view; }
  double get(const std::string& name, int64_t i) {
    return value_of(buffers_.at(name).view.dtype, fetched(buffers_.at(name)), i);
  }
  void set(const std::string& name, int64_t i, double value) {
    Buffer& buffer = buffers_.at(name);
    set_value(buffer.view.dtype, fetched(buffer), i, value);
    buffer.written = true;
  }
  void set_scalars(const StepScalars& scalars) {
    Buffer& buffer = buffers_.at("scalars");
    std::memcpy(fetched(buffer), &scalars, sizeof scalars);
    buffer.written = true;
    scalars_ = scalars;
  }
  void set_l1(double l1) {
    scalars_.l1 = l1;
    set_scalars(scalars_);
  }
  Codes codes(const std::string& name) {
    return {(*this)[name + ".index"], (*this)[name + ".value"], (*this)[name + ".grad"]};
  }
  SaeViews sae(const std::string& prefix = "") {
    return {(*this)[prefix + "W_enc"], (*this)[prefix + "W_dec"], (*this)[prefix + "b_enc"],
            (*this)["b_dec"]};
  }
  PackedViews packed(bool dense) {
    if (dense || backend_->is_asynchronous())
      return {(*this)["packed"], (*this)["packed_dec"], (*this)["packed_dec_t"]};
    return {(*this)["packed"], {}, {}};
  }
  const StepScalars* scalars() { return reinterpret_cast<const StepScalars*>((*this)["scalars"].data); }
  // To work with: what was set is there, and what is read later is fetched.
  Backend& backend() {
    for (auto& [name, buffer] : buffers_) {
      if (!buffer.own && buffer.written)
        backend_->write(buffer.view.data, buffer.copy.data(), buffer.view.bytes());
      buffer.written = false;
      buffer.stale = true;
    }
    return *backend_;
  }
  const Shape& shape() const { return s_; }

  void encode(bool with_aux) {
    backend().center((*this)["x"], (*this)["b_dec"], (*this)["centered"]);
    backend().pack(sae(), packed(false), 0, s_.d_sae);
    backend().select({(*this)["centered"],
                      s_.batch,
                      (*this)["packed"],
                      (*this)["b_enc"],
                      codes("codes"),
                      with_aux ? (*this)["dead"] : View{},
                      with_aux ? codes("aux") : Codes{},
                      {},
                      (*this)["overflow"]});
  }
  DecodeTask decode_task(bool with_aux) {
    DecodeTask task{.x = (*this)["x"],
                    .sae = sae(),
                    .packed = packed(false).decoder,
                    .codes = codes("codes"),
                    .scale = 2.0 / 64,
                    .aux_coefficient = 0.25,
                    .scalars = scalars(),
                    .residual = (*this)["residual"],
                    .row_stats = (*this)["row_stats"],
                    .block_sums = (*this)["block_sums"]};
    if (with_aux) task.aux = codes("aux"), task.aux_residual = (*this)["aux_residual"];
    return task;
  }
  void decode(bool with_aux) { backend().decode(decode_task(with_aux)); }
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
                    .scalars = scalars(),
                    .last_fired = (*this)["last_fired"],
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
    backend().group_by_latent(codes("codes"), 0, s_.d_sae, {(*this)["offsets"], (*this)["positions"]});
    if (with_aux)
      backend().group_by_latent(codes("aux"), 0, s_.d_sae,
                                {(*this)["aux_offsets"], (*this)["aux_positions"]});
  }
  void set_dead(int64_t count, int64_t stride) {
    std::vector<int64_t> dead;
    for (int64_t j = 0; j < s_.d_sae && static_cast<int64_t>(dead.size()) < count; j += stride)
      dead.push_back(j);
    set_dead_list(dead);
  }
  void set_dead_list(const std::vector<int64_t>& dead) {
    for (int64_t j = 0; j < s_.d_sae; ++j) set("fired_before", j, kSeen - 1);
    for (const int64_t j : dead) set("fired_before", j, j % 2 == 0 ? 0 : kSeen - kDeadAfter);
    backend().find_dead((*this)["fired_before"], scalars(), kDeadAfter, (*this)["dead"], (*this)["sums"]);
  }
  bool more() { return get("overflow", 0) != 0; }

 private:
  static constexpr int64_t kSeen = 1000, kDeadAfter = 500;

  struct Buffer {
    std::vector<std::byte> copy;
    View view;
    bool own = true;  // the copy is the backend's memory
    std::ptrdiff_t begin = 0;
    bool written = false, stale = false;
  };
  std::byte* fetched(Buffer& buffer) {
    if (!buffer.own && buffer.stale)
      backend_->read(buffer.copy.data(), buffer.view.data, buffer.view.bytes());
    buffer.stale = false;
    return buffer.copy.data() + buffer.begin;
  }

  std::unique_ptr<Backend> backend_;
  Shape s_;
  std::map<std::string, Buffer> buffers_;
  StepScalars scalars_;
};

}  // namespace saemill
