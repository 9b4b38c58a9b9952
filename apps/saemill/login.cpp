// saemill login: a link that signs a browser in, once.
#include <cstdio>

#include "commands.h"
#include "find_server.h"

namespace saemill {
namespace {

int run(const ServerChoice& choice, bool json) {
  const net::ServerAddress address = need_server(choice);
  auto answer = net::Client(address).json("POST", "/api/v1/login-codes", "{}");
  answer["url"] = address.url + "/login?code=" + answer["code"].get<std::string>();
  answer.erase("code");
  std::printf("%s\n", json ? answer.dump().c_str() : answer["url"].get<std::string>().c_str());
  return 0;
}

}  // namespace

void add_login(CLI::App& app, Command& chosen) {
  struct Options {
    ServerChoice server;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("login", "A link that signs a browser in to the server, once, within 10 minutes");
  add_server_options(*command, options->server);
  command->add_flag("--json", options->json, "{expires_at, url} on one line");
  command->callback(
      [options, &chosen] { chosen = [options] { return run(options->server, options->json); }; });
}

}  // namespace saemill
