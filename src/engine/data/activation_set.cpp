#include "engine/data/activation_set.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/base/error.h"
#include "common/formats/npy.h"
#include "common/formats/safetensors.h"

namespace saemill {
namespace {

// A half as a float: shift the exponent into place by one multiplication. Exact for normal and subnormal
// halves; Inf and NaN keep an exponent that finite() refuses.
float from_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  if ((half & 0x7c00u) == 0x7c00u) return std::nanf("");
  float value;
  std::memcpy(&value, &magnitude, sizeof value);
  value *= 0x1.0p112f;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits |= sign;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

float from_bf16(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

struct Shard {
  std::string path, dtype, tensor;
  int64_t rows = 0, d_in = 0, first_row = 0;
  uint64_t begin = 0, file_bytes = 0;
  std::map<std::string, std::string> metadata;
  int fd = -1;
};

void set_shape(Shard& shard, const std::vector<int64_t>& shape) {
  if ((shape.size() != 2 && shape.size() != 3) || shape.back() < 1)
    fail(ErrorCode::bad_data, "{}: the shape is [{}]; accepted: [N, d] or [N, S, d] with d of at least 1",
         shard.path, fmt::join(shape, ", "));
  shard.d_in = shape.back();
  shard.rows = shape[0] * (shape.size() == 3 ? shape[1] : 1);
}

Shard read_safetensors_shard(const std::filesystem::path& path, const std::string& tensor) {
  const SafetensorsHeader header = read_safetensors_header(path);
  std::vector<std::string> names;
  for (const auto& [name, entry] : header.tensors) names.push_back(name);
  auto it = tensor.empty() ? header.tensors.begin() : header.tensors.find(tensor);
  if (header.tensors.empty() || it == header.tensors.end() || (tensor.empty() && names.size() > 1))
    fail(
        ErrorCode::bad_data, "{}: {}; it holds: {} (activations.tensor names one)", path.string(),
        tensor.empty() ? "there is not exactly one tensor" : fmt::format("there is no tensor \"{}\"", tensor),
        fmt::join(names, ", "));
  Shard shard;
  shard.path = path.string();
  shard.dtype = it->second.dtype;
  shard.tensor = it->first;
  shard.begin = it->second.begin;
  shard.metadata = header.metadata;
  if (shard.dtype != "F32" && shard.dtype != "F16" && shard.dtype != "BF16")
    fail(ErrorCode::bad_data, "{}: tensor {} is {}; accepted: F32, F16, BF16", shard.path, shard.tensor,
         shard.dtype);
  set_shape(shard, it->second.shape);
  return shard;
}

Shard open_shard(const std::filesystem::path& path, const std::string& tensor) {
  Shard shard;
  if (path.extension() == ".npy") {
    const NpyHeader header = read_npy_header(path);
    shard.path = path.string();
    shard.dtype = header.dtype;
    shard.begin = header.data_offset;
    set_shape(shard, header.shape);
  } else {
    shard = read_safetensors_shard(path, tensor);
  }
  shard.file_bytes = std::filesystem::file_size(path);
  shard.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (shard.fd < 0)
    fail(ErrorCode::bad_data, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
  return shard;
}

std::vector<std::filesystem::path> shard_paths(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    fail(ErrorCode::bad_data, "{}: there is no such file or folder", path.string());
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    if (entry.path().extension() == ".safetensors" || entry.path().extension() == ".npy")
      paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  if (paths.empty())
    fail(ErrorCode::bad_data, "{}: the folder holds no shard; accepted: *.safetensors, *.npy", path.string());
  return paths;
}

class Shards final : public ActivationSet {
 public:
  Shards(const std::filesystem::path& path, const std::string& tensor) {
    for (const auto& shard_path : shard_paths(path)) {
      shards_.push_back(open_shard(shard_path, tensor));
      Shard& shard = shards_.back();
      const Shard& first = shards_.front();
      if (shard.d_in != first.d_in || shard.dtype != first.dtype)
        fail(ErrorCode::bad_data,
             "{}: holds {} rows of {} values, but {} holds {} rows of {}; all shards must agree", shard.path,
             shard.dtype, shard.d_in, first.path, first.dtype, first.d_in);
      shard.first_row = rows_;
      rows_ += shard.rows;
    }
    if (rows_ == 0) fail(ErrorCode::bad_data, "{}: there are no rows", path.string());
  }
  ~Shards() override {
    for (const Shard& shard : shards_)
      if (shard.fd >= 0) ::close(shard.fd);
  }
  int64_t rows() const override { return rows_; }
  int64_t d_in() const override { return shards_.front().d_in; }
  int64_t files() const override { return static_cast<int64_t>(shards_.size()); }
  int64_t bytes() const override {
    uint64_t sum = 0;
    for (const Shard& shard : shards_) sum += shard.file_bytes;
    return static_cast<int64_t>(sum);
  }
  std::string dtype() const override { return shards_.front().dtype; }
  std::string tensor() const override { return shards_.front().tensor; }
  const std::map<std::string, std::string>& metadata() const override { return shards_.front().metadata; }

  void read(int64_t row, float scale, std::span<float> out) const override {
    const auto next = std::upper_bound(shards_.begin(), shards_.end(), row,
                                       [](int64_t r, const Shard& s) { return r < s.first_row; });
    const Shard& shard = *std::prev(next);
    const int64_t local = row - shard.first_row;
    const size_t width = out.size(), element = safetensors_dtype_size(shard.dtype);
    thread_local std::vector<std::byte> raw;
    raw.resize(width * element);
    read_bytes(shard, local, raw);
    for (size_t i = 0; i < width; ++i) {
      float value = 0;
      uint16_t half = 0;
      if (element == 4) std::memcpy(&value, raw.data() + 4 * i, 4);
      if (element == 2)
        std::memcpy(&half, raw.data() + 2 * i, 2),
            value = shard.dtype == "F16" ? from_half(half) : from_bf16(half);
      if (!std::isfinite(value))
        fail(ErrorCode::bad_data, "{}: row {}, column {} is not a finite number", shard.path, local, i);
      out[i] = scale * value;
    }
  }

 private:
  static void read_bytes(const Shard& shard, int64_t row, std::span<std::byte> out) {
    auto offset = static_cast<off_t>(shard.begin + static_cast<uint64_t>(row) * out.size());
    while (!out.empty()) {
      const ssize_t n = ::pread(shard.fd, out.data(), out.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        fail(ErrorCode::bad_data, "{}: row {} cannot be read: {}", shard.path, row, std::strerror(errno));
      if (n == 0)
        fail(ErrorCode::bad_data, "{}: ends at byte {} inside row {}; it had {} bytes when it was opened",
             shard.path, offset, row, shard.file_bytes);
      out = out.subspan(static_cast<size_t>(n));
      offset += n;
    }
  }

  std::vector<Shard> shards_;
  int64_t rows_ = 0;
};

}  // namespace

std::shared_ptr<const ActivationSet> ActivationSet::open(const std::filesystem::path& path,
                                                         const std::string& tensor) {
  return std::make_shared<Shards>(path, tensor);
}

}  // namespace saemill
