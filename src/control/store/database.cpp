#include "control/store/database.h"

#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "control/store/migrations.h"
#include "control/store/sql_failure.h"
#include "control/store/url.h"

namespace saemill {
namespace {

using Work = std::function<void(soci::session&)>;
using Session = std::unique_ptr<soci::session>;

enum class Mode { read, write };

constexpr double kPatience = 30;  // s that a lock is waited for

void pause(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

void prepare_sqlite(soci::session& session) {
  std::string mode;
  session << "PRAGMA journal_mode = WAL", soci::into(mode);
  session << "PRAGMA synchronous = NORMAL";
  session << "PRAGMA foreign_keys = ON";
}

// Of a session that is PostgreSQL's. No dynamic_cast: SOCI does not export the type's information.
PGconn* connection_of(soci::session& session) {
  return static_cast<soci::postgresql_session_backend*>(session.get_backend())->conn_;
}

// lock_timeout as patient as SQLite's. The rest is for the locks of a client whose machine died: the server
// must notice that within a minute, not within TCP's two hours.
void prepare_postgresql(soci::session& session) {
  // By default libpq writes notices to stderr.
  PQsetNoticeProcessor(
      connection_of(session), [](void*, const char*) {}, nullptr);
  session << "SELECT set_config('lock_timeout', '30s', false),"
             " set_config('idle_in_transaction_session_timeout', '60s', false),"
             " set_config('tcp_keepalives_idle', '20', false),"
             " set_config('tcp_keepalives_interval', '5', false),"
             " set_config('tcp_keepalives_count', '5', false)";
}

Session open_session(const DatabaseUrl& url) {
  if (url.dialect == Dialect::postgresql) {
    auto session = std::make_unique<soci::session>(soci::postgresql, url.connect);
    prepare_postgresql(*session);
    return session;
  }
  // Switching a new file to WAL fails at once while another program does the same.
  for (const double deadline = monotonic_seconds() + kPatience;; pause(0.02)) {
    try {
      auto session = std::make_unique<soci::session>(soci::sqlite3, url.connect);
      prepare_sqlite(*session);
      return session;
    } catch (const soci::soci_error& error) {
      if (!classify(error).busy || monotonic_seconds() > deadline) throw;
    }
  }
}

void begin(soci::session& session, Dialect dialect, Mode mode) {
  if (dialect == Dialect::postgresql) {
    session << (mode == Mode::write ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    return;
  }
  session << fmt::format("PRAGMA query_only = {}", mode == Mode::read ? 1 : 0);
  // A transaction that begins by reading cannot wait for the right to write: it would fail at once.
  session << (mode == Mode::write ? "BEGIN IMMEDIATE" : "BEGIN");
}

bool is_broken(soci::session& session, Dialect dialect) {
  return dialect == Dialect::postgresql && PQstatus(connection_of(session)) != CONNECTION_OK;
}

// PostgreSQL answers COMMIT of a failed transaction by rolling back, and calls that a success.
void commit(soci::session& session, Dialect dialect) {
  ensure(dialect != Dialect::postgresql || PQtransactionStatus(connection_of(session)) != PQTRANS_INERROR,
         "a transaction went on after a failed statement");
  session.commit();
}

}  // namespace

struct Database::Impl {
  DatabaseUrl url;
  std::mutex mutex;
  std::condition_variable returned;
  std::vector<Session> free;  // nullptr: to be opened
  // SQLite has one writer at a time. Within this process the others wait here, where they hold no connection
  // and sleep; waiting for the file is polling.
  std::mutex writer;

  // A connection of the pool, for the life of this object.
  class Borrowed {
   public:
    explicit Borrowed(Impl& pool) : pool_(pool) {
      std::unique_lock lock(pool_.mutex);
      pool_.returned.wait(lock, [&] { return !pool_.free.empty(); });
      session_ = std::move(pool_.free.back());
      pool_.free.pop_back();
    }
    ~Borrowed() {
      {
        const std::lock_guard lock(pool_.mutex);
        pool_.free.push_back(std::move(session_));
      }
      pool_.returned.notify_one();
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;

    soci::session& open() {
      if (!session_) session_ = open_session(pool_.url);
      return *session_;
    }
    // After a failure: ends the transaction, and the connection with it if it is of no more use.
    void roll_back(bool lost) {
      if (!session_) return;
      try {
        if (!lost && !is_broken(*session_, pool_.url.dialect)) return session_->rollback();
      } catch (const soci::soci_error&) {
        // SQLite has rolled back already after some failures.
        if (pool_.url.dialect == Dialect::sqlite) return;
      }
      session_.reset();
    }
    bool broken() { return session_ && is_broken(*session_, pool_.url.dialect); }

   private:
    Impl& pool_;
    Session session_;
  };

  // Absent: done. Throws what `work` throws, unless it is SOCI's.
  std::optional<SqlFailure> attempt(Borrowed& connection, const Work& work, Mode mode) {
    bool opened = false, committing = false;
    try {
      soci::session& session = connection.open();
      opened = true;
      begin(session, url.dialect, mode);
      work(session);
      committing = true;
      commit(session, url.dialect);
      return std::nullopt;
    } catch (const soci::soci_error& error) {
      SqlFailure failure = classify(error);
      if (!opened || connection.broken()) {
        failure.lost = true;
        if (failure.code == ErrorCode::internal) failure.code = ErrorCode::retry;
      }
      connection.roll_back(failure.lost);
      // Nobody knows whether a commit without an answer was made.
      if (failure.lost && committing) failure.message += "; whether the last change was made is unknown";
      failure.again |= url.dialect == Dialect::postgresql && failure.lost && opened && !committing;
      return failure;
    } catch (...) {
      connection.roll_back(false);
      throw;
    }
  }

  void run(const Work& work, Mode mode) {
    std::unique_lock<std::mutex> turn;
    if (mode == Mode::write && url.dialect == Dialect::sqlite) turn = std::unique_lock(writer);
    Borrowed connection(*this);
    const double deadline = monotonic_seconds() + kPatience;
    for (int tries = 1;; ++tries) {
      const auto failure = attempt(connection, work, mode);
      if (!failure) return;
      if (!failure->again || monotonic_seconds() > deadline) {
        fail(failure->code, "database {}: {}", url.name, without_secret(failure->message, url));
      }
      pause(0.002 * std::min(tries, 50));
    }
  }
};

Database::Database(const std::string& url, int connections) : impl_(std::make_unique<Impl>()) {
  ensure(connections > 0, "a database without connections");
  impl_->url = parse_database_url(url);
  impl_->free.resize(static_cast<size_t>(connections));
  write([&](soci::session& session) { migrate(session, dialect(), name()); });
}

Database::~Database() = default;

Dialect Database::dialect() const {
  return impl_->url.dialect;
}

const std::string& Database::name() const {
  return impl_->url.name;
}

void Database::write(const Work& work) {
  impl_->run(work, Mode::write);
}

void Database::read(const Work& work) const {
  impl_->run(work, Mode::read);
}

}  // namespace saemill
