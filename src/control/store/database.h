// The one way to a database: SQLite by default, PostgreSQL by URL, the same code for both (SOCI). SQL appears
// only in this folder.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace soci {
class session;
}

namespace saemill {

enum class Dialect { sqlite, postgresql };

// Thread-safe: a pool of connections; one that broke is opened again at its next use.
class Database {
 public:
  // "sqlite:PATH" (the folder must exist) or "postgresql://user@host:port/name". Brings the schema up to date
  // by numbered migrations. Error{bad_config}: another kind of URL, or a schema newer than this program
  // (names both numbers). Error{retry}: the database does not answer.
  explicit Database(const std::string& url, int connections = 4);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Dialect dialect() const;
  const std::string& name() const;  // for messages: the URL without its password

  // Runs `work` in one transaction and commits; rolls back when it throws, and throws on. A busy SQLite file
  // is waited for, up to 30 s; a PostgreSQL deadlock, serialization failure or a connection lost before the
  // commit runs `work` again, which therefore must have no effect outside the database. Error{retry} when
  // the database does not answer.
  void write(const std::function<void(soci::session&)>& work);
  // The same without a right to write.
  void read(const std::function<void(soci::session&)>& work) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The number of the newest migration of this program.
int64_t schema_version();

}  // namespace saemill
