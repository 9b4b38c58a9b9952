#include "engine/data/activation_set.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/base/error.h"
#include "common/formats/npy.h"
#include "common/formats/safetensors.h"
#include "engine/data/convert.h"

namespace saemill {
namespace {

// More than one descriptor for a shard only up to so many in all: a process may have 1024.
constexpr size_t kMaxDescriptors = 256;
constexpr uint64_t kReadAheadBytes = 128 << 10;

enum class Stored { f32, f16, bf16 };

struct Shard {
  std::string path, dtype, tensor;
  int64_t rows = 0, d_in = 0, first_row = 0;
  uint64_t begin = 0, file_bytes = 0;
  std::map<std::string, std::string> metadata;
  std::vector<int> descriptors;
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
  shard.descriptors.push_back(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (shard.descriptors[0] < 0)
    fail(ErrorCode::bad_data, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
  return shard;
}

// The kernel counts the uses of an open file in one place, where threads that read small rows get into each
// other's way: two take 1.4 times as long for a row. So each has the same file opened once more; where that
// fails, they share.
void open_again(Shard& shard, size_t times) {
  const std::string same_file = fmt::format("/proc/self/fd/{}", shard.descriptors[0]);
  while (shard.descriptors.size() < times) {
    const int fd = ::open(same_file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    shard.descriptors.push_back(fd);
  }
}

// In pieces, since of one call Linux takes no more than the device's largest request or readahead.
void read_ahead(int fd, uint64_t begin, uint64_t bytes) {
  for (uint64_t at = 0; at < bytes; at += kReadAheadBytes)
    ::posix_fadvise(fd, static_cast<off_t>(begin + at),
                    static_cast<off_t>(std::min(kReadAheadBytes, bytes - at)), POSIX_FADV_WILLNEED);
}

// Of this thread: threads take turns over what each should have alone.
size_t thread_number() {
  static std::atomic<size_t> count{0};
  thread_local const size_t number = count++;
  return number;
}

// The first of n values that is NaN or Inf: its exponent has only ones.
template <typename Word>
size_t find_not_finite(const std::byte* raw, size_t n, Word exponent) {
  for (size_t i = 0; i < n; ++i) {
    Word bits;
    std::memcpy(&bits, raw + i * sizeof bits, sizeof bits);
    if ((bits & exponent) == exponent) return i;
  }
  return n;
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
  Shards(const std::filesystem::path& path, const std::string& tensor, int readers) : readers_(readers) {
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
    if (dtype() != "F32") stored_ = dtype() == "F16" ? Stored::f16 : Stored::bf16;
    const size_t each = std::min(static_cast<size_t>(readers), kMaxDescriptors / shards_.size());
    for (Shard& shard : shards_) open_again(shard, each);
  }
  ~Shards() override {
    for (const Shard& shard : shards_)
      for (const int fd : shard.descriptors) ::close(fd);
  }
  int readers() const override { return readers_; }
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
    const Shard& shard = shard_of(row);
    const int64_t local = row - shard.first_row;
    thread_local std::vector<std::byte> raw;
    raw.resize(out.size() * (stored_ == Stored::f32 ? 4 : 2));
    read_bytes(shard, local, raw);
    if (!convert(raw.data(), scale, out)) tell_not_finite(shard, local, raw.data());
  }

  void expect(int64_t first, int64_t last) const override {
    const uint64_t row_bytes = static_cast<uint64_t>(d_in()) * (stored_ == Stored::f32 ? 4 : 2);
    while (first < last) {
      const Shard& shard = shard_of(first);
      const int64_t stop = std::min(last, shard.first_row + shard.rows);
      read_ahead(shard.descriptors.front(),
                 shard.begin + static_cast<uint64_t>(first - shard.first_row) * row_bytes,
                 static_cast<uint64_t>(stop - first) * row_bytes);
      first = stop;
    }
  }

 private:
  const Shard& shard_of(int64_t row) const {
    return *std::prev(std::upper_bound(shards_.begin(), shards_.end(), row,
                                       [](int64_t r, const Shard& s) { return r < s.first_row; }));
  }

  // The dtype is chosen once for a row. False: NaN or Inf is among the values.
  bool convert(const std::byte* raw, float scale, std::span<float> out) const {
    const auto n = static_cast<int64_t>(out.size());
    if (stored_ == Stored::f32)
      return converters_.f32(reinterpret_cast<const float*>(raw), n, scale, out.data());
    const auto to_float = stored_ == Stored::f16 ? converters_.f16 : converters_.bf16;
    return to_float(reinterpret_cast<const uint16_t*>(raw), n, scale, out.data());
  }

  [[noreturn]] void tell_not_finite(const Shard& shard, int64_t row, const std::byte* raw) const {
    const auto n = static_cast<size_t>(shard.d_in);
    const size_t column = stored_ == Stored::f32
                              ? find_not_finite<uint32_t>(raw, n, 0x7f800000u)
                              : find_not_finite<uint16_t>(raw, n, stored_ == Stored::f16 ? 0x7c00 : 0x7f80);
    fail(ErrorCode::bad_data, "{}: row {}, column {} is not a finite number", shard.path, row, column);
  }

  static void read_bytes(const Shard& shard, int64_t row, std::span<std::byte> out) {
    const int fd = shard.descriptors[thread_number() % shard.descriptors.size()];
    auto offset = static_cast<off_t>(shard.begin + static_cast<uint64_t>(row) * out.size());
    while (!out.empty()) {
      const ssize_t n = ::pread(fd, out.data(), out.size(), offset);
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

  const int readers_;
  const Converters& converters_ = best_converters();
  std::vector<Shard> shards_;
  int64_t rows_ = 0;
  Stored stored_ = Stored::f32;
};

}  // namespace

std::shared_ptr<const ActivationSet> ActivationSet::open(const std::filesystem::path& path,
                                                         const std::string& tensor, int readers) {
  ensure(readers >= 1, "activations are opened for no reader");
  return std::make_shared<Shards>(path, tensor, readers);
}

}  // namespace saemill
