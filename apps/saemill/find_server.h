// Which server a command speaks to: --server and SAEMILL_SERVER with SAEMILL_TOKEN, else the one of DATA.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "control/net/client.h"

namespace saemill {

struct ServerChoice {
  std::string server;  // --server; empty: SAEMILL_SERVER, else DATA/server.json
  std::string data;    // --data
};

void add_server_options(CLI::App& command, ServerChoice& choice);

// Absent: none was named, and none of this user runs here. Error{usage}: one was named without a token.
std::optional<net::ServerAddress> find_server(const ServerChoice& choice);
// Error{usage}, with what to do, where there is none.
net::ServerAddress need_server(const ServerChoice& choice);

}  // namespace saemill
