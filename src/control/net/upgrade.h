// From an accepted request to a live client. Private to this folder; of its two users alone, since Beast is
// expensive to compile.
#pragma once

#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>

#include "control/net/shared.h"

namespace saemill::net {

// Until the client is gone.
asio::awaitable<void> serve_websocket(Shared& shared, boost::beast::tcp_stream stream,
                                      boost::beast::http::request<boost::beast::http::empty_body> request,
                                      std::string session, std::string peer);

}  // namespace saemill::net
