// For tests: a server on a store in a folder of its own, and clients in the same process.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "common/base/clock.h"
#include "common/base/temporary_folder.h"
#include "control/api/dispatch.h"
#include "control/net/client.h"
#include "control/net/server.h"
#include "tests/raw_http.h"

namespace saemill::net {

using testing_tools::RawConnection;

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = std::make_unique<Database>("sqlite:" + (folder_ / "store.db").string());
    sessions_ = std::make_unique<Sessions>(*database_);
    events_ = std::make_unique<MachineEvents>(*database_);
    trainings_ = std::make_unique<Trainings>(*database_);
    keys_ = std::make_unique<IdempotencyKeys>(*database_);
    auth_ = std::make_unique<api::Auth>("the-token", "server", *sessions_);
    hub_ = std::make_unique<api::Hub>([this] {
      if (Server* server = listening_.load()) server->wake();
    });
    hub_->open("events");
    services_.info = {.server_id = "server", .boot = "boot", .version = "1", .host = "h", .database = "d"};
    services_.snapshot = [] {
      auto snapshot = std::make_shared<Snapshot>();
      snapshot->epoch = epoch_seconds();
      Device device;
      device.uuid = "GPU-1", device.name = "Test";
      snapshot->devices.push_back(device);
      return std::shared_ptr<const Snapshot>(snapshot);
    };
    services_.monitor_cost = [] { return MonitorCost{}; };
    services_.recorder = [] { return Recorder::Status{}; };
    services_.event_recorder = [] { return EventRecorder::Status{}; };
    services_.net = [this] { return server_->status(); };
    services_.last_look = [] { return Jobs::Look{}; };
    services_.events = events_.get();
    services_.trainings = trainings_.get();
    services_.run_folder = [this](const std::string& id) { return folder_ / "trainings" / id; };
    services_.idempotency = keys_.get();
    services_.auth = auth_.get();
    services_.hub = hub_.get();
  }
  void TearDown() override { stop(); }

  void start(Limits limits = {}) {
    server_ = std::make_unique<Server>(ServerOptions{.port = 0, .hosts = {}, .limits = limits}, services_);
    listening_ = server_.get();
    thread_ = std::thread([this] { server_->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    server_->stop();
    thread_.join();
    listening_ = nullptr;
    server_.reset();
  }
  int port() const { return std::stoi(server_->url().substr(server_->url().rfind(':') + 1)); }
  Client client() const { return Client({server_->url(), "the-token"}); }
  static std::string get(const std::string& target,
                         const std::string& headers = "Authorization: Bearer the-token\r\n") {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
  }

  // Of the close frame, which whatever was on the way comes before; 0: there is none.
  static int close_code(RawConnection& live) {
    while (const auto frame = live.frame())
      if (frame->opcode == 8) return frame->close_code();
    return 0;
  }

  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<MachineEvents> events_;
  std::unique_ptr<Trainings> trainings_;
  std::unique_ptr<IdempotencyKeys> keys_;
  std::unique_ptr<api::Auth> auth_;
  std::unique_ptr<api::Hub> hub_;
  api::Services services_;
  std::atomic<Server*> listening_ = nullptr;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

}  // namespace saemill::net
