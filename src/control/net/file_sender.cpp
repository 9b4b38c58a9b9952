#include "control/net/file_sender.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/log.h"

namespace saemill::net {

asio::awaitable<bool> send_file(Shared& shared, const api::FileBody& body, const WriteChunk& write) {
  // Few enough trips to the pool, and a slow client has time enough for each.
  constexpr int64_t kChunk = int64_t{256} << 10;
  const auto size = static_cast<size_t>(std::min(kChunk, body.length));
  const auto chunk = std::make_unique_for_overwrite<char[]>(size);
  for (int64_t sent = 0; sent < body.length;) {
    const std::span<char> wanted(chunk.get(),
                                 static_cast<size_t>(std::min<int64_t>(kChunk, body.length - sent)));
    const int64_t offset = body.offset + sent;
    const auto on_pool = [&body, wanted, offset]() -> asio::awaitable<size_t> {
      co_return body.file->read(offset, wanted);
    };
    const size_t read = co_await asio::co_spawn(shared.pool, on_pool, asio::use_awaitable);
    if (read < wanted.size()) {
      log_line(LogLevel::warning, fmt::format("{} became shorter while it was sent: it ends at byte {}",
                                              body.file->name(), offset + static_cast<int64_t>(read)));
      co_return false;
    }
    const bool written = co_await write(asio::buffer(chunk.get(), read));
    if (!written) co_return false;
    sent += static_cast<int64_t>(read);
  }
  co_return true;
}

}  // namespace saemill::net
