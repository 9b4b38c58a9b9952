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

struct FoundServer {
  net::ServerAddress address;
  bool named = false;  // by the person; else it was found in DATA
};

// Absent: none was named, and none runs with DATA. Error{usage}: one was named without a token.
std::optional<FoundServer> find_server(const ServerChoice& choice);
// The same of those that answer: one that was named must, one that is found in DATA and does not is passed
// over, with a word on stderr.
std::optional<net::ServerAddress> find_answering_server(const ServerChoice& choice);
// Error{usage}, with what to do, where there is none.
net::ServerAddress need_server(const ServerChoice& choice);

}  // namespace saemill
