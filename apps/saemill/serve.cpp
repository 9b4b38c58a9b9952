// saemill serve: the machine over HTTP.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "commands.h"
#include "common/base/descriptors.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "serving.h"

namespace saemill {
namespace {

// SIGTERM and SIGINT, as a call on a thread of its own; nothing else of the process sees them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, number);
    ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
  }
  ~StopSignals() {
    if (!thread_.joinable()) return;
    ::pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }
  void call(std::function<void()> stop) {
    thread_ = std::thread([this, stop = std::move(stop)] {
      int number = 0;
      ::sigwait(&signals_, &number);
      stop();
    });
  }

 private:
  sigset_t signals_{};
  std::thread thread_;
};

// A database or a worker that does not come back must not keep a server that was told to go.
void leave_anyway_after(double seconds, const std::filesystem::path& announced) {
  std::thread([seconds, announced] {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    log_line(LogLevel::warning, "something did not end in time: leaving without it");
    std::error_code ignored;
    std::filesystem::remove(announced, ignored);
    ::_exit(0);
  }).detach();
}

int run(const ServeOptions& options) {
  StopSignals signals;
  raise_descriptor_limit();
  ServerData data(data_folder(options.machine.data));
  Serving serving(options, data);
  data.announce(serving.server().url());
  const std::string& url = serving.server().url();
  std::printf(
      "saemill %s serves on %s\n  sign in  %s/login?code=%s\n           once, within 10 minutes; `saemill "
      "login` prints "
      "another link\n  data     %s\n",
      kVersion, url.c_str(), url.c_str(), serving.auth().new_code().c_str(), data.folder().c_str());
  std::fflush(stdout);
  signals.call([&] {
    leave_anyway_after(3, data.folder() / "server.json");
    serving.leave();
  });
  serving.server().run();
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "Serve this machine over HTTP: trainings, devices, live");
  command->add_option("--listen", options->listen, "Address and port; port 0 is any free one")
      ->capture_default_str()
      ->type_name("ADDRESS:PORT");
  add_machine_options(*command, options->machine);
  command
      ->add_option("--database", options->database,
                   "sqlite:PATH or postgresql://user@host/name; default: saemill.db in the data folder")
      ->type_name("URL");
  command
      ->add_option("--activations", options->activations,
                   "A folder that activations may be in; repeatable; default: the current folder")
      ->type_name("DIR")
      ->expected(1)
      ->take_all();
  command->add_option("--worker", options->worker, "saemill-worker; default: the one beside saemill")
      ->type_name("PATH");
  command->add_option("--period", options->period, "Seconds between two samples of the devices")
      ->check(CLI::Range(0.25, 60.0))
      ->capture_default_str();
  command
      ->add_option("--hang-after", options->hang_after,
                   "Seconds without a sign of life after which a training's launcher is killed and restarted")
      ->check(CLI::Range(5.0, 86400.0))
      ->capture_default_str();
  command
      ->add_option("--keep-checkpoints", options->keep_checkpoints,
                   "Days after which the checkpoints of a completed training are deleted; 0: never")
      ->check(CLI::Range(0, 36500))
      ->capture_default_str();
  command
      ->add_option("--keep-trainings", options->keep_trainings,
                   "Days after which a training that has ended is deleted with all its files; 0: never")
      ->check(CLI::Range(0, 36500))
      ->capture_default_str();
  command->add_option("--host", options->hosts, "A name that people come by, beside localhost; repeatable")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
  command->add_flag(
      "--behind-proxy", options->behind_proxy,
      "A proxy that speaks TLS stands before it: any address may be listened on, cookies are Secure, "
      "peers are told by X-Forwarded-For");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
