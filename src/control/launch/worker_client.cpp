#include "control/launch/worker_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/protocol/checkpoint_folders.h"
#include "control/launch/fd.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxAnswer = 1 << 20;
constexpr size_t kMaxMessage = 4096;
constexpr double kSignEvery = 1;  // seconds

// When an answer is no longer waited for.
struct Patience {
  double deadline = std::numeric_limits<double>::infinity();  // seconds
  int wake_fd = -1;                                           // readable: look whether somebody cancels
  std::function<void()> refuse_if_cancelled;                  // throws Error{cancelled}
  SignOfLife alive = {};
};

struct Answer {
  ExitStatus status;
  std::string out;
  std::string err;
};

struct Pipe {
  Fd read_end;
  Fd write_end;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(ErrorCode::retry, "cannot make a pipe: {}", std::strerror(errno));
  return {Fd(ends[0]), Fd(ends[1])};
}

// At the end of the pipe it is closed.
void read_some(Fd& fd, std::string& text) {
  std::array<char, 4096> buffer;
  const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
  if (n < 0 && errno == EINTR) return;
  if (n <= 0) return fd.reset();
  if (text.size() <= kMaxAnswer) text.append(buffer.data(), static_cast<size_t>(n));
}

Patience until_signal(SignalRequests& signals, const SignOfLife& alive) {
  return {.wake_fd = signals.fd(),
          .refuse_if_cancelled =
              [&signals] {
                while (const auto number = signals.next()) {
                  if (*number == SIGINT || *number == SIGTERM || *number == SIGHUP)
                    fail(ErrorCode::cancelled, "cancelled before the training began");
                }
              },
          .alive = alive};
}

Patience until_deadline(double deadline, int cancel_fd) {
  return {.deadline = deadline, .wake_fd = cancel_fd, .refuse_if_cancelled = [cancel_fd] {
            pollfd polled{cancel_fd, POLLIN, 0};
            if (cancel_fd >= 0 && ::poll(&polled, 1, 0) > 0)
              fail(ErrorCode::cancelled, "cancelled while saemill-worker was asked");
          }};
}

// Absent: the worker has not answered in time, and is dead.
std::optional<Answer> ask(const fs::path& worker, std::vector<std::string> arguments,
                          const Patience& patience) {
  const double begin = monotonic_seconds();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  SpawnOptions options;
  options.command = std::move(arguments);
  options.command.insert(options.command.begin(), worker.string());
  options.stdout_fd = out.write_end.get();
  options.stderr_fd = err.write_end.get();
  Process process(options);  // killed by its destructor if somebody cancels
  out.write_end.reset();
  err.write_end.reset();
  // Readable once the process has ended. Its children may hold the pipes open, and it may go on without them.
  Fd ended(static_cast<int>(::syscall(SYS_pidfd_open, process.pid(), 0)));
  if (!ended) fail(ErrorCode::retry, "cannot watch a process: {}", std::strerror(errno));
  Answer answer;
  double next_sign = begin;
  while (out.read_end || err.read_end || process.running()) {
    std::array<pollfd, 4> polled{{{out.read_end.get(), POLLIN, 0},
                                  {err.read_end.get(), POLLIN, 0},
                                  {process.running() ? ended.get() : -1, POLLIN, 0},
                                  {patience.wake_fd, POLLIN, 0}}};
    const double now = monotonic_seconds();
    double left = begin + patience.deadline - now;
    if (left <= 0) return std::nullopt;
    if (patience.alive) {
      if (now >= next_sign) {
        patience.alive();
        next_sign = now + kSignEvery;
      }
      left = std::min(left, next_sign - now);
    }
    // The kernel's clock may be a little early, so at least 1 ms.
    const int timeout = std::isinf(left) ? -1 : static_cast<int>(std::min(left, 1e6) * 1e3) + 1;
    if (::poll(polled.data(), polled.size(), timeout) < 0) {
      ensure(errno == EINTR, "poll failed");
      continue;
    }
    if (polled[3].revents != 0) patience.refuse_if_cancelled();
    if (polled[0].revents != 0) read_some(out.read_end, answer.out);
    if (polled[1].revents != 0) read_some(err.read_end, answer.err);
    if (polled[2].revents != 0) process.poll_exit();  // what is left of its group is killed
  }
  answer.status = process.exit_status();
  return answer;
}

// What the worker said, as our own message: its name in front would be said twice.
std::string without_prefix(std::string text) {
  for (const std::string_view prefix : {"saemill: ", "saemill-worker: "})
    if (text.starts_with(prefix)) text.erase(0, prefix.size());
  if (text.size() > kMaxMessage) text.resize(kMaxMessage);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Json json_of(const Answer& answer, const fs::path& worker, const std::string& question) {
  if (!answer.status.ok()) {
    const auto code =
        answer.status.signal != 0 ? ErrorCode::retry : static_cast<ErrorCode>(answer.status.code);
    const std::string said = without_prefix(answer.err);
    if (!said.empty()) throw Error(code, said);
    fail(code, "{} {} {}", worker.string(), question, describe(answer.status));
  }
  if (answer.out.size() > kMaxAnswer)
    fail(ErrorCode::internal, "{} {} --json answered more than {} bytes", worker.string(), question,
         kMaxAnswer);
  Json json = Json::parse(answer.out, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    fail(ErrorCode::internal, "{} {} --json answered '{}', which is not a JSON object", worker.string(),
         question, answer.out.substr(0, 200));
  }
  return json;
}

Json ask_json(const fs::path& worker, const std::vector<std::string>& arguments, SignalRequests& signals,
              const SignOfLife& alive = {}) {
  return json_of(*ask(worker, arguments, until_signal(signals, alive)), worker, arguments.front());
}

std::vector<std::string> inspect_command(const std::string& path, const std::string& tensor) {
  std::vector<std::string> arguments{"inspect", path, "--json"};
  if (!tensor.empty()) arguments.push_back("--tensor=" + tensor);  // one word: a name may begin with a dash
  return arguments;
}

int64_t positive(const Json& json, const char* key, const std::string& path) {
  const auto it = json.find(key);
  if (it == json.end() || !it->is_number_integer() || it->get<int64_t>() < 1) {
    fail(ErrorCode::bad_data, "{}: inspect gives no positive {}: {}", path, key, json.dump());
  }
  return it->get<int64_t>();
}

}  // namespace

fs::path find_worker(const std::string& named) {
  std::error_code error;
  const fs::path worker = named.empty()
                              ? fs::read_symlink("/proc/self/exe", error).parent_path() / "saemill-worker"
                              : fs::absolute(named);
  if (!fs::is_regular_file(worker, error) || ::access(worker.c_str(), X_OK) != 0) {
    fail(ErrorCode::usage,
         "{}: no such program; saemill-worker is looked for beside saemill, or give --worker PATH",
         worker.string());
  }
  return worker;
}

ActivationsInfo inspect_activations(const fs::path& worker, const std::string& path,
                                    const std::string& tensor, SignalRequests& signals,
                                    const SignOfLife& alive) {
  const Json json = ask_json(worker, inspect_command(path, tensor), signals, alive);
  return {positive(json, "rows", path), positive(json, "d_in", path)};
}

Json inspect_json(const fs::path& worker, const std::string& path, const std::string& tensor, double deadline,
                  int cancel_fd) {
  const auto answer = ask(worker, inspect_command(path, tensor), until_deadline(deadline, cancel_fd));
  if (!answer)
    fail(ErrorCode::retry, "{}: saemill-worker has not said within {} s what it holds", path, deadline);
  Json json = json_of(*answer, worker, "inspect");
  positive(json, "rows", path), positive(json, "d_in", path);
  return json;
}

ResumePoint newest_checkpoint(const fs::path& worker, const fs::path& run, int64_t at_most,
                              SignalRequests& signals, const SignOfLife& alive) {
  if (checkpoint_folders::list(run).empty()) return {};
  const Json json = ask_json(
      worker, {"checkpoints", run.string(), "--at-most", std::to_string(at_most), "--json"}, signals, alive);
  ResumePoint point;
  if (const auto step = json.find("step"); step != json.end() && step->is_number_integer()) {
    point.step = step->get<int64_t>();
  }
  if (const auto warnings = json.find("warnings"); warnings != json.end() && warnings->is_array()) {
    for (const auto& warning : *warnings) {
      point.warnings.push_back(warning.is_string() ? warning.get<std::string>() : warning.dump());
    }
  }
  return point;
}

std::string gpu_problem(const fs::path& worker, SignalRequests& signals) {
  return ask_json(worker, {"devices", "--json"}, signals).value("problem", std::string());
}

}  // namespace saemill
