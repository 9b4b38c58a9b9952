#include "control/launch/rank.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "common/base/clock.h"
#include "common/base/error.h"

namespace saemill {
namespace {

Fd open_log(const std::filesystem::path& path) {
  Fd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) fail(ErrorCode::retry, "{}: cannot open: {}", path.string(), std::strerror(errno));
  return log;
}

std::vector<std::string> command(const RankOptions& options, int report_fd) {
  std::vector<std::string> words{options.worker.string(),
                                 "train",
                                 "--run",
                                 options.run.string(),
                                 "--rank",
                                 std::to_string(options.index),
                                 "--world-size",
                                 std::to_string(options.world_size),
                                 "--device",
                                 options.device.name,
                                 "--report-fd",
                                 std::to_string(report_fd),
                                 "--memory-fd",
                                 std::to_string(options.memory_fd),
                                 "--deadline",
                                 fmt::format("{}", options.deadline)};
  if (options.resume_step) words.insert(words.end(), {"--resume-step", std::to_string(*options.resume_step)});
  if (options.finish) words.push_back("--finish");
  if (!options.device.uuid.empty()) words.insert(words.end(), {"--uuid", options.device.uuid});
  if (options.cores.empty() && options.device.uuid.empty()) words.insert(words.end(), {"--threads", "1"});
  return words;
}

}  // namespace

Rank start_rank(const RankOptions& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(ErrorCode::retry, "cannot make a pipe: {}", std::strerror(errno));
  Fd read_end(ends[0]);
  const Fd write_end(ends[1]);
  // Only this end: the flag belongs to the open file, and the rank's own end must block.
  if (::fcntl(read_end.get(), F_SETFL, O_NONBLOCK) != 0) {
    fail(ErrorCode::internal, "cannot make a pipe non-blocking: {}", std::strerror(errno));
  }
  const Fd log = open_log(options.log);
  struct stat info {};
  const int64_t log_begin = ::fstat(log.get(), &info) == 0 ? info.st_size : 0;
  SpawnOptions spawn;
  spawn.command = command(options, write_end.get());
  spawn.inherit = {write_end.get(), options.memory_fd};
  spawn.cores = options.cores;
  spawn.environment = options.environment;
  // Before CUDA starts: the rank sees its own device alone, whatever order CUDA would count in.
  if (!options.device.uuid.empty()) {
    spawn.environment.push_back("CUDA_VISIBLE_DEVICES=" + options.device.uuid);
    spawn.environment.push_back("CUDA_DEVICE_ORDER=PCI_BUS_ID");
  }
  spawn.stdout_fd = log.get();
  spawn.stderr_fd = log.get();
  Rank rank{.index = options.index,
            .device = options.device.name,
            .process = Process(spawn),
            .reports = ReportReader(std::move(read_end)),
            .log = LogCap(options.log, log_begin),
            .last_heartbeat = monotonic_seconds(),
            .failed = std::nullopt};
  return rank;
}

}  // namespace saemill
