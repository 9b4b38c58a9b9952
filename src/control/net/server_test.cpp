// A server and its clients in one process, for what only many threads and real sockets can show.
#include "tests/server_fixture.h"

namespace saemill::net {
namespace {

using Json = nlohmann::ordered_json;

TEST_F(ServerTest, AnswersOnOneConnectionAgainAndAgain) {
  start();
  RawConnection connection(port());
  for (int i = 0; i < 3; ++i) {
    const auto answer = connection.ask(get("/api/v1/system/gpus"));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(Json::parse(answer.body)["gpu_count"], 1);
    EXPECT_NE(answer.head.find("Content-Security-Policy: default-src 'self'"), std::string::npos);
    EXPECT_NE(answer.head.find("X-Content-Type-Options: nosniff"), std::string::npos);
  }
  connection.send(get("/healthz", "") + get("/api/v1/events"));  // pipelined; one quick, one slow
  EXPECT_EQ(connection.answer().body.substr(0, 10), R"({"status":)");
  EXPECT_EQ(connection.answer().body.substr(0, 8), R"({"data":)");
}

TEST_F(ServerTest, HeadHasTheLengthAndNoBody) {
  start();
  RawConnection connection(port());
  connection.send("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  while (connection.receive()) {
  }
  const auto answer = connection.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.head.find("Content-Length: 1"), std::string::npos);
  EXPECT_TRUE(answer.body.empty());
}

TEST_F(ServerTest, ManyClientsAtOnceWithPublishersAndSlowRequests) {
  start();
  std::atomic<bool> done = false;
  std::thread publisher([&] {
    for (int i = 0; i < 200; ++i) {
      hub_->publish("events", "event:created", i);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    done = true;
  });
  std::vector<std::thread> clients;
  std::atomic<int> good = 0;
  for (int c = 0; c < 4; ++c)
    clients.emplace_back([&, c] {
      auto asking = client();
      for (int i = 0; i < 20; ++i)
        good += asking.request("GET", c % 2 == 0 ? "/api/v1/events" : "/api/v1/server").ok();
    });
  RawConnection live(port());
  ASSERT_EQ(live.upgrade("Authorization: Bearer the-token\r\n").status, 101);
  EXPECT_NE(live.frame()->payload.find("\"hello\""), std::string::npos);
  live.say(R"({"op":"subscribe","channel":"events","since":0})");
  int64_t next = 1;
  while (next <= 200) {
    const auto frame = live.frame();
    ASSERT_TRUE(frame);
    Json messages = Json::parse(frame->payload);
    if (!messages.is_array()) messages = Json::array({messages});
    for (const Json& message : messages)
      if (message["event"] == "event:created") {
        EXPECT_EQ(message["seq"], next);
        ++next;
      }
  }
  for (auto& thread : clients) thread.join();
  publisher.join();
  EXPECT_TRUE(done);
  EXPECT_EQ(good, 80);
  EXPECT_EQ(server_->status().websockets, 1);
}

TEST_F(ServerTest, AClientThatDoesNotReadIsClosedWith1013) {
  start();
  RawConnection live(port());
  const int small = 65536;
  ::setsockopt(live.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  ASSERT_EQ(live.upgrade("Authorization: Bearer the-token\r\n").status, 101);
  live.say(R"({"op":"subscribe","channel":"events"})");
  ASSERT_TRUE(live.frame() && live.frame());  // hello, subscribed: it listens
  const std::string megabyte(size_t{1} << 20, 'x');
  for (int i = 0; i < 20; ++i) hub_->publish("events", "event:created", megabyte);
  for (int waits = 0; server_->status().refused == 0 && waits < 500; ++waits)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(server_->status().refused, 1);
  EXPECT_EQ(close_code(live), 1013);  // it read on before the server lost patience
}

TEST_F(ServerTest, AClientThatNeverReadsAgainIsDropped) {
  start({.behind_s = 0.2});
  RawConnection live(port());
  const int small = 4096;
  ::setsockopt(live.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  ASSERT_EQ(live.upgrade("Authorization: Bearer the-token\r\n").status, 101);
  live.say(R"({"op":"subscribe","channel":"events"})");
  ASSERT_TRUE(live.frame() && live.frame());
  const std::string megabyte(size_t{1} << 20, 'x');
  for (int i = 0; i < 20; ++i) hub_->publish("events", "event:created", megabyte);
  for (int waits = 0; server_->status().websockets > 0 && waits < 1000; ++waits)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(server_->status().websockets, 0);
}

TEST_F(ServerTest, SignedOutMeansHungUp) {
  start();
  const auto session = auth_->open_session();
  RawConnection live(port());
  ASSERT_EQ(
      live.upgrade("Origin: http://localhost\r\nCookie: saemill_session_server=" + session.secret + "\r\n")
          .status,
      101);
  ASSERT_TRUE(live.frame());
  auth_->close_session(session.secret);
  const auto frame = live.frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->opcode, 8);
  EXPECT_EQ(frame->close_code(), 1008);
}

TEST_F(ServerTest, StoppingSaysGoodbye) {
  start();
  RawConnection live(port()), idle(port());
  ASSERT_EQ(live.upgrade("Authorization: Bearer the-token\r\n").status, 101);
  ASSERT_TRUE(live.frame());
  stop();
  const auto frame = live.frame();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->close_code(), 1001);
  EXPECT_TRUE(idle.ended());
}

TEST_F(ServerTest, SlowLorisIsHungUpOn) {
  start({.request_s = 0.3});
  RawConnection head(port()), body(port()), silent(port());
  head.send("GET /healthz HTTP/1.1\r\nHost: local");
  body.send(
      "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 100\r\n\r\n{");
  EXPECT_TRUE(head.ended());
  EXPECT_TRUE(body.ended());
  EXPECT_TRUE(silent.ended());
}

TEST_F(ServerTest, TooManyConnectionsAreToldSo) {
  start({.connections = 2});
  RawConnection one(port()), two(port());
  EXPECT_EQ(one.ask(get("/healthz")).status, 200);
  EXPECT_EQ(two.ask(get("/healthz")).status, 200);
  RawConnection three(port());
  EXPECT_EQ(three.answer().status, 503);
  EXPECT_EQ(one.ask(get("/healthz")).status, 200);
}

TEST_F(ServerTest, TooManyRequestsAreToldSo) {
  start({.requests = {.per_second = 0.001, .burst = 3}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(RawConnection(port()).ask(get("/healthz")).status, 200);
  const auto refused = RawConnection(port()).ask(get("/healthz"));
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.head.find("Retry-After: 1"), std::string::npos);
}

TEST_F(ServerTest, StrangersCannotUseUpWhatOthersMayAsk) {
  start({.requests = {.per_second = 0.001, .burst = 3}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(RawConnection(port()).ask(get("/api/v1/server", "")).status, 401);
  EXPECT_EQ(RawConnection(port()).ask(get("/api/v1/server", "")).status, 429);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(RawConnection(port()).ask(get("/api/v1/server")).status, 200);
  EXPECT_EQ(RawConnection(port()).ask(get("/api/v1/server")).status, 429);
  const auto session = auth_->open_session();
  EXPECT_EQ(RawConnection(port())
                .ask(get("/api/v1/server", "Cookie: saemill_session_server=" + session.secret + "\r\n"))
                .status,
            200);
}

TEST_F(ServerTest, AFloodOfMessagesIsClosed) {
  start({.messages = {.per_second = 0.001, .burst = 5}});
  RawConnection live(port());
  ASSERT_EQ(live.upgrade("Authorization: Bearer the-token\r\n").status, 101);
  for (int i = 0; i < 10; ++i) live.say("{}");
  EXPECT_EQ(close_code(live), 1008);
}

TEST_F(ServerTest, ReachableAddressesNeedAProxy) {
  const auto listen = [&](const std::string& address, bool proxy) {
    Server server({.address = address, .port = 0, .hosts = {}, .behind_proxy = proxy}, services_);
  };
  EXPECT_THROW(listen("0.0.0.0", false), Error);
  EXPECT_NO_THROW(listen("0.0.0.0", true));
  EXPECT_THROW(listen("example", false), Error);
  start();
  EXPECT_THROW(Server({.port = static_cast<uint16_t>(port()), .hosts = {}}, services_), Error);
}

TEST_F(ServerTest, BehindAProxyCookiesAreSecureAndPeersAreTold) {
  ServerOptions options{.port = 0, .hosts = {"saemill.example.org"}, .behind_proxy = true};
  options.limits.requests = {.per_second = 0.001, .burst = 1};
  server_ = std::make_unique<Server>(options, services_);
  listening_ = server_.get();
  thread_ = std::thread([this] { server_->run(); });
  const auto from = [&](const std::string& address) {
    RawConnection connection(port());
    return connection.ask("GET /login?code=" + auth_->new_code() +
                          " HTTP/1.1\r\nHost: saemill.example.org\r\nX-Forwarded-For: 6.6.6.6, " + address +
                          "\r\n\r\n");
  };
  const auto first = from("10.0.0.1");
  EXPECT_EQ(first.status, 303);
  EXPECT_NE(first.head.find("SameSite=Strict; Secure"), std::string::npos);
  EXPECT_EQ(from("10.0.0.1").status, 429);
  EXPECT_EQ(from("10.0.0.2").status, 303);
}

}  // namespace
}  // namespace saemill::net
