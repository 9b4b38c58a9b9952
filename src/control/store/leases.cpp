#include "control/store/leases.h"

#include <soci/soci.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/error.h"

namespace saemill {
namespace {

// Somebody took one of the devices between the look and the leap.
struct Overtaken {};

int64_t now() {
  return static_cast<int64_t>(epoch_seconds());
}

// The active leases that meet `condition`, whose placeholders stand for `values` in order.
std::vector<Lease> select_active(soci::session& session, const std::string& condition,
                                 const std::vector<std::string>& values) {
  Lease row;
  LeaseHolder& holder = row.holder;
  soci::statement statement(session);
  for (int64_t* column : {&row.id, &holder.pid, &holder.start_time, &holder.server_pid,
                          &holder.server_start_time, &row.taken_at}) {
    statement.exchange(soci::into(*column));
  }
  for (std::string* column :
       {&row.uuid, &holder.job_id, &holder.job_type, &holder.server_id, &holder.host, &holder.boot_id}) {
    statement.exchange(soci::into(*column));
  }
  for (const std::string& value : values) statement.exchange(soci::use(value));
  statement.alloc();
  statement.prepare(fmt::format("SELECT id, pid, start_time, server_pid, server_start_time, taken_at,"
                                " uuid, job_id, job_type, server_id, host, boot_id"
                                " FROM leases WHERE released_at IS NULL {}",
                                condition),
                    soci::details::st_one_time_query);
  statement.define_and_bind();
  std::vector<Lease> found;
  for (bool more = statement.execute(true); more; more = statement.fetch()) found.push_back(row);
  // Not ORDER BY: how PostgreSQL orders text depends on its locale.
  std::sort(found.begin(), found.end(), [](const Lease& a, const Lease& b) { return a.uuid < b.uuid; });
  return found;
}

std::vector<Lease> select_holders(soci::session& session, const std::vector<std::string>& uuids) {
  std::string list;
  for (size_t i = 0; i < uuids.size(); ++i) list += fmt::format("{}:u{}", i ? ", " : "", i);
  return select_active(session, fmt::format("AND uuid IN ({})", list), uuids);
}

// One statement for all, which inserts in the given order; the unique index leaves out what is held.
int64_t insert(soci::session& session, const std::vector<std::string>& uuids, const LeaseHolder& holder) {
  const int64_t taken_at = now();
  soci::statement statement(session);
  std::string rows;
  for (size_t i = 0; i < uuids.size(); ++i) {
    rows += fmt::format("{0}(:u{1}, :j{1}, :t{1}, :s{1}, :h{1}, :b{1}, :p{1}, :q{1}, :r{1}, :v{1}, :w{1})",
                        i ? ", " : "", i);
    for (const std::string* value :
         {&uuids[i], &holder.job_id, &holder.job_type, &holder.server_id, &holder.host, &holder.boot_id}) {
      statement.exchange(soci::use(*value));
    }
    for (const int64_t* value :
         {&holder.pid, &holder.start_time, &holder.server_pid, &holder.server_start_time, &taken_at}) {
      statement.exchange(soci::use(*value));
    }
  }
  statement.alloc();
  statement.prepare(fmt::format("INSERT INTO leases (uuid, job_id, job_type, server_id, host, boot_id, pid,"
                                " start_time, server_pid, server_start_time, taken_at)"
                                " VALUES {} ON CONFLICT DO NOTHING",
                                rows),
                    soci::details::st_one_time_query);
  statement.define_and_bind();
  statement.execute(true);
  return statement.get_affected_rows();
}

// The lease as it was found: had a launcher been bound to it meanwhile, it would not be dead.
bool end_lease(soci::session& session, const Lease& lease) {
  const int64_t released_at = now();
  soci::statement statement =
      (session.prepare << "UPDATE leases SET released_at = :now"
                          " WHERE id = :id AND released_at IS NULL AND pid = :pid AND start_time = :start",
       soci::use(released_at), soci::use(lease.id), soci::use(lease.holder.pid),
       soci::use(lease.holder.start_time));
  statement.execute(true);
  return statement.get_affected_rows() == 1;
}

}  // namespace

std::vector<Lease> Leases::take(const std::vector<std::string>& uuids, const LeaseHolder& holder) {
  // Everyone inserts in this order, so two gangs wait for one another in one direction only.
  std::vector<std::string> sorted = uuids;
  std::sort(sorted.begin(), sorted.end());
  if (sorted.empty()) fail(ErrorCode::usage, "job {} asks for a lease of no device", holder.job_id);
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    fail(ErrorCode::usage, "job {} asks for device {} twice", holder.job_id, *twice);
  }
  for (;;) {
    std::vector<Lease> holders;
    // Whoever cannot win finds that out without a place in the writers' queue.
    database_.read([&](soci::session& session) { holders = select_holders(session, sorted); });
    if (!holders.empty()) return holders;
    try {
      database_.write([&](soci::session& session) {
        if (insert(session, sorted, holder) != static_cast<int64_t>(sorted.size())) throw Overtaken{};
      });
      return {};
    } catch (const Overtaken&) {
      // Whoever overtook this may have released already: then it is free again.
    }
  }
}

bool Leases::bind(const std::string& job_id, int64_t pid, int64_t start_time) {
  int64_t bound = 0;
  database_.write([&](soci::session& session) {
    soci::statement statement = (session.prepare << "UPDATE leases SET pid = :pid, start_time = :start"
                                                    " WHERE job_id = :job AND released_at IS NULL",
                                 soci::use(pid), soci::use(start_time), soci::use(job_id));
    statement.execute(true);
    bound = statement.get_affected_rows();
  });
  return bound > 0;
}

int64_t Leases::release(const std::string& job_id) {
  int64_t ended = 0;
  database_.write([&](soci::session& session) {
    const int64_t released_at = now();
    soci::statement statement = (session.prepare << "UPDATE leases SET released_at = :now"
                                                    " WHERE job_id = :job AND released_at IS NULL",
                                 soci::use(released_at), soci::use(job_id));
    statement.execute(true);
    ended = statement.get_affected_rows();
  });
  return ended;
}

std::vector<Lease> Leases::active() const {
  std::vector<Lease> found;
  database_.read([&](soci::session& session) { found = select_active(session, "", {}); });
  return found;
}

std::vector<std::pair<std::string, int64_t>> Leases::last_used() const {
  std::vector<std::pair<std::string, int64_t>> found;
  database_.read([&](soci::session& session) {
    found.clear();
    std::pair<std::string, int64_t> row;
    const int64_t still = now();
    soci::statement statement =
        (session.prepare << "SELECT uuid, MAX(COALESCE(released_at, :now)) FROM leases GROUP BY uuid",
         soci::use(still), soci::into(row.first), soci::into(row.second));
    for (bool more = statement.execute(true); more; more = statement.fetch()) found.push_back(row);
  });
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<Lease> Leases::release_dead(const std::string& host, const std::string& boot_id,
                                        const std::function<bool(int64_t, int64_t)>& alive) {
  std::vector<Lease> dead;
  database_.read([&](soci::session& session) { dead = select_active(session, "AND host = :host", {host}); });
  // Outside of any transaction: nobody waits while /proc is read.
  std::erase_if(dead, [&](const Lease& lease) {
    const LeaseHolder& holder = lease.holder;
    if (holder.boot_id != boot_id) return false;
    return holder.pid != 0 ? alive(holder.pid, holder.start_time)
                           : alive(holder.server_pid, holder.server_start_time);
  });
  if (dead.empty()) return {};
  std::vector<Lease> ended;
  database_.write([&](soci::session& session) {
    ended.clear();
    for (const Lease& lease : dead) {
      if (end_lease(session, lease)) ended.push_back(lease);
    }
  });
  return ended;
}

}  // namespace saemill
