#include "control/store/sessions.h"

#include <soci/soci.h>

#include <algorithm>
#include <tuple>

namespace saemill {

void Sessions::add(const SessionRow& row) {
  database_.write([&](soci::session& session) {
    session << "INSERT INTO sessions (digest, server_id, created_at, expires_at)"
               " VALUES (:digest, :server, :created, :expires)"
               " ON CONFLICT (digest) DO UPDATE SET expires_at = excluded.expires_at",
        soci::use(row.digest), soci::use(row.server_id), soci::use(row.created_at), soci::use(row.expires_at);
  });
}

void Sessions::remove(const std::string& digest) {
  database_.write([&](soci::session& session) {
    session << "DELETE FROM sessions WHERE digest = :digest", soci::use(digest);
  });
}

std::vector<SessionRow> Sessions::live(const std::string& server_id, int64_t now) {
  std::vector<SessionRow> found;
  database_.write([&](soci::session& session) {
    found.clear();
    session << "DELETE FROM sessions WHERE expires_at <= :now", soci::use(now);
    SessionRow row;
    row.server_id = server_id;
    // `now` again: on PostgreSQL another server may have added a row since.
    soci::statement statement = (session.prepare << "SELECT digest, created_at, expires_at FROM sessions"
                                                    " WHERE server_id = :server AND expires_at > :now",
                                 soci::into(row.digest), soci::into(row.created_at),
                                 soci::into(row.expires_at), soci::use(server_id), soci::use(now));
    for (bool more = statement.execute(true); more; more = statement.fetch()) found.push_back(row);
  });
  std::sort(found.begin(), found.end(), [](const SessionRow& a, const SessionRow& b) {
    return std::tie(a.created_at, a.digest) < std::tie(b.created_at, b.digest);
  });
  return found;
}

}  // namespace saemill
