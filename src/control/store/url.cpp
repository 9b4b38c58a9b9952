#include "control/store/url.h"

#include <filesystem>
#include <string_view>
#include <utility>

#include "common/base/error.h"

namespace saemill {
namespace {

constexpr std::string_view kSqlite = "sqlite:";
constexpr std::string_view kPostgresql = "postgresql://";

DatabaseUrl sqlite_url(const std::string& url) {
  const std::string path = url.substr(kSqlite.size());
  // Every connection would see a database of its own.
  const bool no_file = path.empty() || path.starts_with(":") || path.starts_with("file:");
  if (no_file || path.find('"') != std::string::npos) {
    fail(ErrorCode::bad_config, "database URL \"{}\": expected the path of a file after \"{}\"", url,
         kSqlite);
  }
  // SOCI needs the quotes for spaces and equals signs, and a first character that is neither.
  return {.dialect = Dialect::sqlite,
          .name = url,
          .secret = "",
          .connect = fmt::format("dbname=\"{}\" timeout=30", std::filesystem::absolute(path).string())};
}

// Takes user:PASSWORD@ and password=PASSWORD out of `name`.
void take_secret(DatabaseUrl& url) {
  const size_t begin = kPostgresql.size();
  const size_t query = url.name.find('?');
  const size_t at = url.name.rfind('@', query);
  const size_t colon = url.name.find(':', begin);
  if (at != std::string::npos && colon != std::string::npos && colon < at) {
    url.secret = url.name.substr(colon + 1, at - colon - 1);
    url.name.erase(colon, at - colon);
  }
  constexpr std::string_view kKey = "password=";
  size_t key = url.name.find('?');
  key = key == std::string::npos ? key : url.name.find(kKey, key);
  if (key == std::string::npos) return;
  const size_t value = key + kKey.size();
  const size_t end = std::min(url.name.find('&', value), url.name.size());
  url.secret = url.name.substr(value, end - value);
  url.name.erase(value, end - value);
}

DatabaseUrl postgresql_url(const std::string& url) {
  DatabaseUrl parsed{.dialect = Dialect::postgresql, .name = url, .secret = "", .connect = url};
  take_secret(parsed);
  // A server that vanished must be noticed, not waited for: what the URL itself sets, stands.
  constexpr std::pair<std::string_view, int> kDefaults[] = {{"connect_timeout", 10},
                                                            {"keepalives_idle", 10},
                                                            {"keepalives_interval", 5},
                                                            {"keepalives_count", 3},
                                                            {"tcp_user_timeout", 30000}};
  for (const auto& [key, value] : kDefaults) {
    if (url.find(fmt::format("{}=", key)) != std::string::npos) continue;
    const char separator = parsed.connect.find('?') == std::string::npos ? '?' : '&';
    parsed.connect += fmt::format("{}{}={}", separator, key, value);
  }
  return parsed;
}

}  // namespace

DatabaseUrl parse_database_url(const std::string& url) {
  if (url.starts_with(kPostgresql)) return postgresql_url(url);
  if (url.starts_with(kSqlite)) return sqlite_url(url);
  fail(ErrorCode::bad_config, "database URL \"{}\": expected sqlite:PATH or postgresql://user@host:port/name",
       url);
}

std::string without_secret(std::string message, const DatabaseUrl& url) {
  if (url.secret.empty()) return message;
  for (size_t at = message.find(url.secret); at != std::string::npos; at = message.find(url.secret, at + 3)) {
    message.replace(at, url.secret.size(), "***");
  }
  return message;
}

}  // namespace saemill
