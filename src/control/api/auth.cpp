#include "control/api/auth.h"

#include "common/base/clock.h"
#include "control/api/secret.h"
#include "control/api/session_cookie.h"

namespace saemill::api {
namespace {

constexpr size_t kMostCodes = 100;

int64_t now() {
  return static_cast<int64_t>(epoch_seconds());
}

}  // namespace

Auth::Auth(std::string token, std::string server_id, Sessions& store)
    : token_digest_(sha256_hex(token)),
      server_id_(std::move(server_id)),
      cookie_(session_cookie_name(server_id_)),
      store_(store) {
  for (const SessionRow& row : store_.live(server_id_, now())) sessions_[row.digest] = row.expires_at;
}

std::string Auth::session_in(std::string_view cookie_header) const {
  return cookie_in(cookie_header, cookie_);
}

std::string Auth::set_cookie(const std::string& secret, int64_t seconds) const {
  return api::set_cookie(cookie_, secret, seconds);
}

// Digests are compared: their lengths tell nothing of the token's.
bool Auth::token_matches(std::string_view token) const {
  return equal_in_constant_time(sha256_hex(token), token_digest_);
}

std::string Auth::new_code() {
  std::string code = random_secret();
  const std::lock_guard lock(mutex_);
  std::erase_if(codes_, [](const auto& one) { return one.second <= now(); });
  while (codes_.size() >= kMostCodes) codes_.erase(codes_.begin());
  codes_[sha256_hex(code)] = now() + kCodeSeconds;
  return code;
}

std::optional<Session> Auth::redeem(std::string_view code) {
  const std::string digest = sha256_hex(code);
  int64_t expires_at = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = codes_.find(digest);
    if (found == codes_.end()) return std::nullopt;
    expires_at = found->second;
    codes_.erase(found);
  }
  if (expires_at <= now()) return std::nullopt;
  try {
    return open_session();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    codes_[digest] = expires_at;  // the store is away: nobody was signed in by it
    throw;
  }
}

Session Auth::open_session() {
  Session session{random_secret(), now() + kSessionSeconds};
  const std::string digest = sha256_hex(session.secret);
  store_.add({digest, server_id_, now(), session.expires_at});
  const std::lock_guard lock(mutex_);
  std::erase_if(sessions_, [](const auto& one) { return one.second <= now(); });
  sessions_[digest] = session.expires_at;
  return session;
}

void Auth::close_session(std::string_view secret) {
  const std::string digest = sha256_hex(secret);
  {
    const std::lock_guard lock(mutex_);
    sessions_.erase(digest);
  }
  store_.remove(digest);
}

std::optional<int64_t> Auth::session_expiry(std::string_view secret) const {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(sha256_hex(secret));
  if (found == sessions_.end() || found->second <= now()) return std::nullopt;
  return found->second;
}

}  // namespace saemill::api
