#include "find_server.h"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/base/proc.h"
#include "machine.h"

namespace saemill {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string token_of(const fs::path& data) {
  std::error_code error;
  if (!fs::exists(data / "token", error)) return "";
  std::string token = read_file(data / "token");
  while (token.ends_with('\n')) token.pop_back();
  return token;
}

// A server that was killed leaves its server.json behind.
std::optional<std::string> url_of_running(const fs::path& data) {
  std::error_code error;
  if (!fs::exists(data / "server.json", error)) return std::nullopt;
  const auto json =
      nlohmann::json::parse(read_file(data / "server.json"), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto command = process_arguments(json.value("pid", int64_t{0}));
  if (command.size() < 2 || command[1] != "serve") return std::nullopt;
  return json.value("url", std::string());
}

}  // namespace

void add_server_options(CLI::App& command, ServerChoice& choice) {
  command
      .add_option("--server", choice.server,
                  "A server's address, with its token in SAEMILL_TOKEN; default: SAEMILL_SERVER, else the "
                  "one of --data")
      ->type_name("URL");
  command
      .add_option("--data", choice.data, "Where the server keeps its data; default: $XDG_DATA_HOME/saemill")
      ->type_name("DIR");
}

std::optional<FoundServer> find_server(const ServerChoice& choice) {
  const fs::path data = data_folder(choice.data);
  const std::string named =
      choice.server.empty() && choice.data.empty() ? environment("SAEMILL_SERVER") : choice.server;
  std::string token = environment("SAEMILL_TOKEN");
  if (token.empty()) token = token_of(data);
  if (!named.empty()) {
    if (token.empty())
      fail(ErrorCode::usage, "{}: no token; set SAEMILL_TOKEN to what DATA/token of that server holds",
           named);
    return FoundServer{{named, token}, true};
  }
  const auto url = url_of_running(data);
  if (!url) return std::nullopt;
  return FoundServer{{*url, token}, false};
}

std::optional<net::ServerAddress> find_answering_server(const ServerChoice& choice) {
  constexpr double kPatience = 5;  // s
  const auto found = find_server(choice);
  if (!found) return std::nullopt;
  if (found->named) return found->address;
  try {
    net::Client(found->address, kPatience).request("GET", "/healthz");
    return found->address;
  } catch (const Error& error) {
    std::fprintf(stderr, "saemill: %s; looking without it\n", error.what());
    return std::nullopt;
  }
}

net::ServerAddress need_server(const ServerChoice& choice) {
  const auto found = find_server(choice);
  if (!found)
    fail(ErrorCode::usage,
         "no server runs with {}; start one with `saemill serve`, or name one with --server",
         data_folder(choice.data).string());
  return found->address;
}

}  // namespace saemill
