// Who may ask: the token of DATA/token, one-time login codes, and the sessions of browsers.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "control/store/sessions.h"

namespace saemill::api {

inline constexpr int64_t kSessionSeconds = 30 * 24 * 3600;
inline constexpr int64_t kCodeSeconds = 600;

struct Session {
  std::string secret;  // the cookie's value
  int64_t expires_at = 0;
};

// Thread-safe. Checks answer from memory; opening and closing sessions asks the store (Error{retry}: it is
// away).
class Auth {
 public:
  Auth(std::string token, std::string server_id, Sessions& store);

  // The session's secret in a Cookie header, valid or not; empty: none.
  std::string session_in(std::string_view cookie_header) const;
  std::string set_cookie(const std::string& secret, int64_t seconds) const;  // a value for Set-Cookie

  bool token_matches(std::string_view token) const;  // in time that does not depend on where they differ

  std::string new_code();  // redeems once, within kCodeSeconds
  std::optional<Session> redeem(std::string_view code);
  Session open_session();
  void close_session(std::string_view secret);
  std::optional<int64_t> session_expiry(std::string_view secret) const;  // absent: there is no such session

 private:
  std::string token_digest_, server_id_, cookie_;
  Sessions& store_;
  mutable std::mutex mutex_;
  std::map<std::string, int64_t> codes_;     // digest -> expires_at
  std::map<std::string, int64_t> sessions_;  // digest -> expires_at
};

}  // namespace saemill::api
