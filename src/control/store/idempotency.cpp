#include "control/store/idempotency.h"

#include <soci/soci.h>

#include <algorithm>

#include "common/base/error.h"

namespace saemill {
namespace {

constexpr int64_t kKept = 24 * 3600;
constexpr size_t kLongestKey = 255;

void check(const std::string& key) {
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (key.empty() || key.size() > kLongestKey || !std::all_of(key.begin(), key.end(), printable)) {
    fail(ErrorCode::usage, "an idempotency key is 1 to {} printable ASCII characters", kLongestKey);
  }
}

bool insert(soci::session& session, const std::string& key, const std::string& request,
            const std::string& server_id, int64_t now) {
  soci::statement statement =
      (session.prepare << "INSERT INTO idempotency_keys"
                          " (idempotency_key, request, server_id, created_at, content_type, body)"
                          " VALUES (:key, :request, :server, :now, '', '') ON CONFLICT DO NOTHING",
       soci::use(key), soci::use(request), soci::use(server_id), soci::use(now));
  statement.execute(true);
  return statement.get_affected_rows() == 1;
}

// Absent: the key is free.
std::optional<IdempotencyKeys::Claimed> find(soci::session& session, const std::string& key,
                                             const std::string& request) {
  using Claim = IdempotencyKeys::Claim;
  IdempotencyKeys::Claimed found;
  std::string first_request;
  soci::indicator answered = soci::i_null;
  session << "SELECT request, status, content_type, body FROM idempotency_keys WHERE idempotency_key = :key",
      soci::into(first_request), soci::into(found.answer.status, answered),
      soci::into(found.answer.content_type), soci::into(found.answer.body), soci::use(key);
  if (!session.got_data()) return std::nullopt;
  if (first_request != request) return IdempotencyKeys::Claimed{Claim::different, {}};
  if (answered != soci::i_ok) return IdempotencyKeys::Claimed{Claim::under_way, {}};
  found.claim = Claim::answered;
  return found;
}

}  // namespace

IdempotencyKeys::Claimed IdempotencyKeys::claim(const std::string& key, const std::string& request,
                                                const std::string& server_id, int64_t now) {
  check(key);
  std::optional<Claimed> found;
  database_.write([&](soci::session& session) {
    found.reset();
    const int64_t forgotten = now - kKept;
    session << "DELETE FROM idempotency_keys WHERE created_at <= :forgotten", soci::use(forgotten);
    while (!found) {
      if (insert(session, key, request, server_id, now)) {
        found = Claimed{};
      } else {
        // On PostgreSQL somebody may have given it up in between: then it is free again.
        found = find(session, key, request);
      }
    }
  });
  return *found;
}

void IdempotencyKeys::finish(const std::string& key, const StoredAnswer& answer) {
  database_.write([&](soci::session& session) {
    session << "UPDATE idempotency_keys SET status = :status, content_type = :type, body = :body"
               " WHERE idempotency_key = :key AND status IS NULL",
        soci::use(answer.status), soci::use(answer.content_type), soci::use(answer.body), soci::use(key);
  });
}

void IdempotencyKeys::abandon(const std::string& key) {
  database_.write([&](soci::session& session) {
    session << "DELETE FROM idempotency_keys WHERE idempotency_key = :key AND status IS NULL", soci::use(key);
  });
}

void IdempotencyKeys::abandon_all(const std::string& server_id) {
  database_.write([&](soci::session& session) {
    session << "DELETE FROM idempotency_keys WHERE server_id = :server AND status IS NULL",
        soci::use(server_id);
  });
}

}  // namespace saemill
