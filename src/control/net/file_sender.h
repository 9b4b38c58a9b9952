// Files on their way to a client. Private to this folder; knows no HTTP.
#pragma once

#include <boost/asio/buffer.hpp>
#include <functional>

#include "control/net/shared.h"

namespace saemill::net {

// One of the files that are being sent, each of which holds a chunk in memory.
class Sending {
 public:
  explicit Sending(Shared& shared) : shared_(shared) { ++shared_.sending; }
  Sending(const Sending&) = delete;
  Sending& operator=(const Sending&) = delete;
  ~Sending() { --shared_.sending; }

 private:
  Shared& shared_;
};

// Takes all of a chunk. False: the client is gone or too slow.
using WriteChunk = std::function<asio::awaitable<bool>(asio::const_buffer chunk)>;

// One chunk after the other, read on the pool. False: `write` said so, or the file has become shorter, and
// the client waits for bytes that do not come. Error{retry}: it cannot be read.
asio::awaitable<bool> send_file(Shared& shared, const api::FileBody& body, const WriteChunk& write);

}  // namespace saemill::net
