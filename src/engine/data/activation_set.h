// All activations of a file or a folder of shards, as one table of rows. Rows are read by pread when they are
// needed: a file larger than memory works, and one that shrinks is an error and not a SIGBUS.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace saemill {

// Immutable and thread-safe after opening. Shards are safetensors (F32, F16, BF16) or .npy (f2, f4; C order),
// `[N, d]` or `[N, S, d]` (read as N*S rows), in name order. Opening checks headers only; values are checked
// when a row is read.
class ActivationSet {
 public:
  // Error{bad_data}: nothing there, damaged or mixed shards, another d_in; names the file, what was found,
  // what is accepted. `tensor` empty: the only tensor of each file.
  // `readers`: how many threads a BatchLoader shall read it with; results do not depend on it.
  static std::shared_ptr<const ActivationSet> open(const std::filesystem::path& path,
                                                   const std::string& tensor, int readers = 1);
  virtual ~ActivationSet() = default;

  virtual int64_t rows() const = 0;
  virtual int64_t d_in() const = 0;
  virtual int readers() const { return 1; }  // as said at opening
  virtual int64_t files() const = 0;
  virtual int64_t bytes() const = 0;                                       // of all files
  virtual std::string dtype() const = 0;                                   // "F16"
  virtual std::string tensor() const = 0;                                  // "" for .npy
  virtual const std::map<std::string, std::string>& metadata() const = 0;  // of the first shard

  // Row `row` times `scale`, as float32, into out[0, d_in). Error{bad_data} names the file and row of a NaN
  // or Inf, or a file that has shrunk.
  virtual void read(int64_t row, float scale, std::span<float> out) const = 0;

  // Rows [first, last) will be read soon: the system may read them from disk in one piece meanwhile. May wait
  // while its queue is full; what it cannot do is left to read().
  virtual void expect(int64_t, int64_t) const {}
};

}  // namespace saemill
