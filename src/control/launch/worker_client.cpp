#include "control/launch/worker_client.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "control/launch/fd.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxAnswer = 1 << 20;

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

// Returns false at the end of the pipe.
bool read_some(Fd& fd, std::string& text) {
  std::array<char, 4096> buffer;
  const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) {
    fd.reset();
    return false;
  }
  if (text.size() < kMaxAnswer) text.append(buffer.data(), static_cast<size_t>(n));
  return true;
}

void refuse_if_cancelled(SignalRequests& signals) {
  while (const auto number = signals.next()) {
    if (*number == SIGINT || *number == SIGTERM || *number == SIGHUP) {
      fail(ErrorCode::cancelled, "cancelled before the training began");
    }
  }
}

Answer ask(const fs::path& worker, std::vector<std::string> arguments, SignalRequests& signals) {
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
  Answer answer;
  while (out.read_end || err.read_end) {
    std::array<pollfd, 3> polled{
        {{out.read_end.get(), POLLIN, 0}, {err.read_end.get(), POLLIN, 0}, {signals.fd(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0) {
      ensure(errno == EINTR, "poll failed");
      continue;
    }
    refuse_if_cancelled(signals);
    if (polled[0].revents != 0) read_some(out.read_end, answer.out);
    if (polled[1].revents != 0) read_some(err.read_end, answer.err);
  }
  answer.status = process.wait();
  return answer;
}

// What the worker said, as our own message: "saemill-worker: " in front would be said twice.
std::string without_prefix(std::string text) {
  constexpr std::string_view kPrefix = "saemill-worker: ";
  if (text.starts_with(kPrefix)) text.erase(0, kPrefix.size());
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Json ask_json(const fs::path& worker, const std::vector<std::string>& arguments, SignalRequests& signals) {
  const Answer answer = ask(worker, arguments, signals);
  if (!answer.status.ok()) {
    const auto code =
        answer.status.signal != 0 ? ErrorCode::retry : static_cast<ErrorCode>(answer.status.code);
    const std::string said = without_prefix(answer.err);
    if (!said.empty()) throw Error(code, said);
    fail(code, "{} {} {}", worker.string(), arguments.front(), describe(answer.status));
  }
  Json json = Json::parse(answer.out, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    fail(ErrorCode::internal, "{} {} --json answered '{}', which is not a JSON object", worker.string(),
         arguments.front(), answer.out.substr(0, 200));
  }
  return json;
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
                                    const std::string& tensor, SignalRequests& signals) {
  std::vector<std::string> arguments{"inspect", path, "--json"};
  if (!tensor.empty()) arguments.insert(arguments.end(), {"--tensor", tensor});
  const Json json = ask_json(worker, arguments, signals);
  return {positive(json, "rows", path), positive(json, "d_in", path)};
}

ResumePoint newest_checkpoint(const fs::path& worker, const fs::path& run, SignalRequests& signals) {
  std::error_code error;
  bool any = false;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
    any = any || entry.path().filename().string().starts_with("step-");
  }
  if (!any) return {};
  const Json json = ask_json(worker, {"checkpoints", run.string(), "--json"}, signals);
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
