#include "progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "common/base/clock.h"
#include "common/base/text.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kPlainInterval = 5.0;

// Not fmt::print, which throws when nobody reads any more: a closed terminal does not stop the training.
void put(std::FILE* file, const std::string& text) {
  std::fputs(text.c_str(), file);
  std::fflush(file);
}

class QuietProgress : public JobObserver {
 public:
  // Where the launcher has not said it itself.
  void on_event(const Json& event) override {
    if (event["event"] == "warning" && event["code"] != "restart" && event["code"] != "checkpoint")
      on_message("warning: " + event.value("message", std::string()));
  }
  void on_progress(int64_t, int64_t, const std::string&) override {}
  void on_message(const std::string& message) override { put(stderr, fmt::format("saemill: {}\n", message)); }
};

class JsonProgress final : public QuietProgress {
 public:
  void on_event(const Json& event) override {
    const std::string line = event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    put(stdout, line);
  }
};

class BarProgress final : public QuietProgress {
 public:
  BarProgress() : terminal_(::isatty(STDERR_FILENO) == 1) {}
  ~BarProgress() override { clear(); }

  void on_event(const Json& event) override {
    if (event["event"] == "metrics") values_ = event["values"];
    if (event["event"] == "rewind") first_step_ = -1;
    QuietProgress::on_event(event);
  }

  void on_progress(int64_t step, int64_t total_steps, const std::string& phase) override {
    const double now = monotonic_seconds();
    if (first_step_ < 0 && phase == "train") {
      first_step_ = step;
      first_time_ = now;
    }
    if (!terminal_ && now < next_plain_) return;
    next_plain_ = now + kPlainInterval;
    draw(line(step, total_steps, phase, now));
  }

  void on_message(const std::string& message) override {
    clear();
    QuietProgress::on_message(message);
  }

 private:
  void add(std::string& text, const char* label, const char* name, double scale, const char* suffix) const {
    const auto it = values_.find(name);
    if (it == values_.end() || !it->is_number()) return;
    text += fmt::format("  {} {:.4g}{}", label, it->get<double>() * scale, suffix);
  }

  std::string line(int64_t step, int64_t total, const std::string& phase, double now) const {
    const double percent = total > 0 ? 100.0 * static_cast<double>(step) / static_cast<double>(total) : 0.0;
    std::string text = fmt::format("step {}/{}  {:.1f}%", step, total, percent);
    if (phase != "train") text += "  " + phase;
    add(text, "loss", "loss", 1, "");
    add(text, "fvu", "fvu", 1, "");
    add(text, "l0", "l0", 1, "");
    add(text, "dead", "dead_fraction", 100, "%");
    const auto speed = values_.find("activations_per_second");
    if (speed != values_.end() && speed->is_number())
      text += fmt::format("  {:.0f} act/s", speed->get<double>());
    if (first_step_ >= 0 && step > first_step_ && total > step) {
      const double per_step = (now - first_time_) / static_cast<double>(step - first_step_);
      text += "  left " + duration_text(per_step * static_cast<double>(total - step));
    }
    return text;
  }

  void draw(std::string text) {
    if (!terminal_) {
      put(stderr, text + "\n");
      return;
    }
    winsize size{};
    const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    text.resize(
        std::min<size_t>(text.size(), known ? size.ws_col - 1U : 79U));  // a wrapped line is not redrawn
    put(stderr, "\r\x1b[K" + text);
    drawn_ = true;
  }

  void clear() {
    if (drawn_) put(stderr, "\r\x1b[K");
    drawn_ = false;
  }

  bool terminal_;
  bool drawn_ = false;
  double next_plain_ = 0;
  int64_t first_step_ = -1;
  double first_time_ = 0;
  Json values_ = Json::object();
};

void add_number(std::string& text, const Json& report, const char* key, const char* label, double scale,
                const char* suffix) {
  const auto it = report.find(key);
  if (it == report.end() || !it->is_number()) return;
  text += fmt::format("  {:<24}{:.5g}{}\n", label, it->get<double>() * scale, suffix);
}

}  // namespace

std::unique_ptr<JobObserver> make_progress(const std::string& kind) {
  if (kind == "json") return std::make_unique<JsonProgress>();
  if (kind == "bar") return std::make_unique<BarProgress>();
  return std::make_unique<QuietProgress>();
}

void print_report(const JobResult& job) {
  Json report = job.report;
  if (report.contains("fvu") && report["fvu"].is_number()) {
    report["explained_variance"] = 1.0 - report["fvu"].get<double>();
  }
  std::string text =
      fmt::format("Trained {} steps", report.contains("steps") ? report["steps"].dump() : "all");
  if (report.contains("seconds") && report["seconds"].is_number()) {
    text += fmt::format(" in {}", duration_text(report["seconds"].get<double>()));
  }
  text += "\n";
  add_number(text, report, "fvu", "FVU", 1, "");
  add_number(text, report, "explained_variance", "explained variance", 1, "");
  add_number(text, report, "l0", "L0", 1, "");
  add_number(text, report, "dead_fraction", "dead latents", 100, " %");
  const auto speed = report.find("activations_per_second");
  if (speed != report.end() && speed->is_number()) {
    text += fmt::format("  {:<24}{:.0f}\n", "activations per second", speed->get<double>());
  }
  text += fmt::format("  {:<24}{}\n", "SAE", (job.run / "sae").string());
  text += fmt::format("  {:<24}{}\n", "run", job.run.string());
  // A command that works as it stands, from the current folder.
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto near = [&](const std::filesystem::path& path) {
    return std::filesystem::proximate(path, error).string();
  };
  text += fmt::format("Next: {} eval {} --activations {}\n", near(program), near(job.run / "sae"),
                      near(job.activations));
  put(stdout, text);
}

}  // namespace saemill
