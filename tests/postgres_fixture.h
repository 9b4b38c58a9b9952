// A PostgreSQL server of the test program's own: Debian's binaries, a temporary folder, a free port of
// 127.0.0.1, nothing that outlives the program. Needs soci::soci (for libpq) to link.
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace saemill::testing_tools {

namespace fs = std::filesystem;

class PostgresServer {
 public:
  // Started at its first use, which must be on the main thread: the server dies with that thread.
  static PostgresServer& shared() {
    static PostgresServer server;
    return server;
  }

  // Why there is no server; empty: there is one.
  const std::string& unavailable() const { return unavailable_; }

  std::string url(const std::string& database) const {
    return "postgresql://saemill@127.0.0.1:" + std::to_string(port_) + "/" + database;
  }

  // A new, empty one; its URL.
  std::string create_database() {
    const std::string name = "test_" + std::to_string(++databases_);
    execute("CREATE DATABASE " + name);
    return url(name);
  }

  void execute(const std::string& sql, const std::string& database = "postgres") {
    const std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(url(database).c_str()), PQfinish);
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(connection.get(), sql.c_str()),
                                                                PQclear);
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      throw std::runtime_error(sql + ": " + PQerrorMessage(connection.get()));
    }
  }

  // Starts on the port that it had, if it had one.
  void start() {
    const std::vector<std::string> command = {programs_ / "postgres",
                                              "-D",
                                              folder_ / "data",
                                              "-p",
                                              std::to_string(port_),
                                              "-c",
                                              "listen_addresses=127.0.0.1",
                                              "-c",
                                              "unix_socket_directories=" + folder_.string(),
                                              "-c",
                                              "fsync=off",
                                              "-c",
                                              "full_page_writes=off",
                                              "-c",
                                              "max_connections=200"};
    pid_ = spawn(command);
    for (int tries = 0; tries < 600; ++tries) {
      if (PQping(url("postgres").c_str()) == PQPING_OK) return;
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    throw std::runtime_error("PostgreSQL does not start; see " + (folder_ / "log").string());
  }

  // SIGINT: disconnects everybody and ends cleanly. SIGQUIT: like a crash.
  void stop(int signal = SIGINT) {
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  PostgresServer() {
    find_programs();
    if (!unavailable_.empty()) return;
    std::string path = (fs::temp_directory_path() / "saemill_postgres.XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("cannot make " + path);
    folder_ = path;
    if (::geteuid() == 0 && ::chown(path.c_str(), user_, group_) != 0)
      throw std::runtime_error("chown " + path);
    const pid_t initdb = spawn({programs_ / "initdb", "-D", folder_ / "data", "-U", "saemill", "-A", "trust",
                                "-E", "UTF8", "--locale=C", "--no-sync"});
    int status = 0;
    ::waitpid(initdb, &status, 0);
    if (status != 0) throw std::runtime_error("initdb failed; see " + (folder_ / "log").string());
    port_ = free_port();
    start();
  }
  ~PostgresServer() {
    stop();
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }

  void find_programs() {
    std::error_code ignored;
    for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
      if (fs::exists(version.path() / "bin/initdb")) programs_ = version.path() / "bin";
    }
    if (programs_.empty()) unavailable_ = "PostgreSQL is not installed (/usr/lib/postgresql/*/bin)";
    if (::geteuid() != 0) return;
    // PostgreSQL refuses to run as root.
    const passwd* user = ::getpwnam("postgres");
    if (user == nullptr) {
      unavailable_ = "PostgreSQL is not installed (no user postgres)";
      return;
    }
    user_ = user->pw_uid;
    group_ = user->pw_gid;
  }

  // Its output goes to the log in the folder.
  pid_t spawn(const std::vector<std::string>& command) const {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const std::string log = folder_ / "log";
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child != 0) return child;
    const bool as_root = ::geteuid() == 0;
    if (as_root && (::setgroups(0, nullptr) != 0 || ::setgid(group_) != 0 || ::setuid(user_) != 0))
      ::_exit(126);
    // After setuid, which clears it.
    ::prctl(PR_SET_PDEATHSIG, SIGINT);
    if (::getppid() != parent || ::chdir(folder_.c_str()) != 0) ::_exit(126);
    const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }

  static int free_port() {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(descriptor, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("no free port");
    }
    ::close(descriptor);
    return ntohs(address.sin_port);
  }

  std::string unavailable_;
  fs::path programs_, folder_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  int port_ = 0;
  pid_t pid_ = -1;
  int databases_ = 0;
};

}  // namespace saemill::testing_tools
