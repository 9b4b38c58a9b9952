#include "control/api/log_watch.h"

#include <optional>

#include "common/base/error.h"
#include "common/base/log.h"
#include "control/api/training_logs.h"

namespace saemill::api {
namespace {

constexpr std::string_view kTrainings = "trainings/";
constexpr std::string_view kLogs = "/logs";

std::optional<std::string> training_in(const std::string& channel) {
  const bool is_one = channel.starts_with(kTrainings) && channel.ends_with(kLogs) &&
                      channel.size() > kTrainings.size() + kLogs.size();
  if (!is_one) return std::nullopt;
  return channel.substr(kTrainings.size(), channel.size() - kTrainings.size() - kLogs.size());
}

}  // namespace

std::string logs_channel(const std::string& training) {
  return fmt::format("{}{}{}", kTrainings, training, kLogs);
}

LogWatch::LogWatch(Hub& hub, RunFolder run_folder, std::chrono::milliseconds period)
    : hub_(hub), run_folder_(std::move(run_folder)), period_(period), thread_([this] { loop(); }) {}

LogWatch::~LogWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_one();
  thread_.join();
}

void LogWatch::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_.wait_for(lock, period_, [this] { return stop_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

void LogWatch::look() {
  std::map<std::string, Sizes> heard;
  for (const std::string& channel : hub_.heard()) {
    const auto training = training_in(channel);
    if (!training) continue;
    Sizes& told = heard[channel];
    if (const auto known = told_.find(channel); known != told_.end()) told = std::move(known->second);
    tell_grown(channel, *training, told);
  }
  told_ = std::move(heard);
}

void LogWatch::tell_grown(const std::string& channel, const std::string& training, Sizes& told) {
  try {
    for (const auto& [rank, bytes] : logs_of(run_folder_(training))) {
      int64_t& known = told.try_emplace(rank, -1).first->second;
      if (known == bytes) continue;
      known = bytes;
      hub_.tick(channel, "log:grown", {{"rank", rank}, {"bytes", bytes}}, rank.c_str());
    }
  } catch (const Error& error) {  // it will be looked at again
    log_line(LogLevel::warning, fmt::format("logs of training {}: {}", training, error.what()));
  }
}

}  // namespace saemill::api
