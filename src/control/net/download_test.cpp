// Files over real sockets: whole, in part, to clients that are slow or go away, and files that change
// meanwhile.
#include <fmt/format.h>

#include <fstream>

#include "control/api/run_folder_fixture.h"
#include "tests/server_fixture.h"

namespace saemill::net {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kMiB = int64_t{1} << 20;

char byte_at(int64_t position) {
  return static_cast<char>(position % 251);
}

class DownloadTest : public ServerTest {
 protected:
  static constexpr const char* kTarget = "/api/v1/trainings/t/sae/rows.safetensors";

  void SetUp() override {
    ServerTest::SetUp();
    api::add_training(*database_, "t");
    path_ = folder_ / "trainings" / "t" / "sae" / "rows.safetensors";
  }
  void write_pattern(int64_t size) {
    std::string block(251 * 4096, '\0');
    for (size_t i = 0; i < block.size(); ++i) block[i] = byte_at(static_cast<int64_t>(i));
    fs::create_directories(path_.parent_path());
    std::ofstream file(path_, std::ios::binary);
    for (int64_t left = size; left > 0; left -= static_cast<int64_t>(block.size()))
      file.write(block.data(), std::min(left, static_cast<int64_t>(block.size())));
  }
  static std::string ask(const std::string& headers = "", const char* method = "GET") {
    return fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer the-token\r\n{}\r\n",
                       method, kTarget, headers);
  }
  // The head of an answer, and none of its body.
  static std::string head(RawConnection& connection) {
    std::string text;
    for (char byte; !text.ends_with("\r\n\r\n") && ::recv(connection.fd(), &byte, 1, 0) == 1;) text += byte;
    return text;
  }
  // Bytes until `size` or the end, as long as they are those of the file. `each` is called after each block.
  static int64_t take(
      RawConnection& connection, int64_t size, const std::function<void()>& each = [] {}) {
    std::vector<char> block(size_t{256} << 10);
    int64_t taken = 0;
    while (taken < size) {
      const auto most =
          static_cast<size_t>(std::min<int64_t>(size - taken, static_cast<int64_t>(block.size())));
      const ssize_t n = ::recv(connection.fd(), block.data(), most, MSG_WAITALL);
      if (n <= 0) return taken;
      for (ssize_t i = 0; i < n; ++i, ++taken)
        if (block[static_cast<size_t>(i)] != byte_at(taken)) return taken;
      each();
    }
    return taken;
  }
  static void take_slowly(const RawConnection& connection) {
    const int small = 65536;
    ::setsockopt(connection.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }
  // Of this process, which the server is a part of.
  int64_t open_descriptors() const {
    int64_t open = 0;
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd"))
      open += fs::read_symlink(entry.path(), gone).string().starts_with(path_.string());
    return open;
  }
  static int64_t resident_bytes() {
    int64_t all = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> all >> resident;
    return resident * ::sysconf(_SC_PAGESIZE);
  }
  static bool soon(const std::function<bool()>& true_at_last) {
    for (int waits = 0; waits < 1000; ++waits) {
      if (true_at_last()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  fs::path path_;
};

TEST_F(DownloadTest, LargeFilesPassThroughLittleMemory) {
  write_pattern(64 * kMiB);
  start();
  RawConnection connection(port());
  const int64_t before = resident_bytes();
  int64_t most = before;
  connection.send(ask());
  const std::string answer = head(connection);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  for (const char* line : {"Content-Length: 67108864\r\n", "Content-Type: application/octet-stream\r\n",
                           "Accept-Ranges: bytes\r\n", "Cache-Control: no-cache\r\n",
                           "Content-Disposition: attachment; filename=\"rows.safetensors\"\r\n",
                           "X-Content-Type-Options: nosniff\r\n"})
    EXPECT_NE(answer.find(line), std::string::npos) << line << answer;
  EXPECT_EQ(take(connection, 64 * kMiB, [&] { most = std::max(most, resident_bytes()); }), 64 * kMiB);
  EXPECT_LT(most - before, 16 * kMiB);
  // And the connection goes on.
  EXPECT_EQ(connection.ask(get("/healthz")).status, 200);
  EXPECT_TRUE(soon([&] { return open_descriptors() == 0; }));
}

TEST_F(DownloadTest, PartsAndHeads) {
  write_pattern(3 * kMiB);
  start();
  RawConnection connection(port());
  const auto whole = connection.ask(ask());
  ASSERT_EQ(whole.body.size(), 3 * kMiB);
  const size_t at = whole.head.find("ETag: ") + 6;
  const std::string etag = whole.head.substr(at, whole.head.find("\r\n", at) - at);
  const auto part = connection.ask(ask("Range: bytes=1000000-2000000\r\n"));
  EXPECT_EQ(part.status, 206);
  EXPECT_NE(part.head.find("Content-Range: bytes 1000000-2000000/3145728\r\n"), std::string::npos);
  EXPECT_EQ(part.body, whole.body.substr(1000000, 1000001));
  const auto rest = connection.ask(ask("Range: bytes=262143-\r\nIf-Range: " + etag + "\r\n"));
  EXPECT_EQ(rest.status, 206);
  EXPECT_EQ(rest.body, whole.body.substr(262143));
  EXPECT_EQ(connection.ask(ask("Range: bytes=-5\r\nIf-Range: \"other\"\r\n")).body.size(), 3 * kMiB);
  const auto beyond = connection.ask(ask("Range: bytes=3145728-\r\n"));
  EXPECT_EQ(beyond.status, 416);
  EXPECT_NE(beyond.head.find("Content-Range: bytes */3145728\r\n"), std::string::npos);
  EXPECT_NE(beyond.head.find("Content-Type: application/problem+json\r\n"), std::string::npos);
  const auto unchanged = connection.ask(ask("If-None-Match: " + etag + "\r\n"));
  EXPECT_EQ(unchanged.status, 304);
  EXPECT_EQ(unchanged.head.find("Content-Length"), std::string::npos);
  connection.send(ask("Range: bytes=0-0\r\n", "HEAD"));
  const std::string only = head(connection);
  EXPECT_TRUE(only.starts_with("HTTP/1.1 200")) << only;
  EXPECT_NE(only.find("Content-Length: 3145728\r\n"), std::string::npos);
  connection.send(ask() + ask("Range: bytes=0-9\r\n"));  // pipelined
  EXPECT_EQ(connection.answer().body, whole.body);
  EXPECT_EQ(connection.answer().body, whole.body.substr(0, 10));
  EXPECT_EQ(connection.ask(ask("Range: bytes=0-1\r\nRange: bytes=2-3\r\n")).status, 400);
}

TEST_F(DownloadTest, EmptyFiles) {
  write_pattern(0);
  start();
  RawConnection connection(port());
  for (const char* headers : {"", "Range: bytes=0-\r\n"}) {
    const auto answer = connection.ask(ask(headers));
    EXPECT_EQ(answer.status, 200);
    EXPECT_NE(answer.head.find("Content-Length: 0\r\n"), std::string::npos);
  }
  EXPECT_EQ(connection.ask(get("/healthz")).status, 200);
}

TEST_F(DownloadTest, WhoGoesAwayLeavesNothingBehind) {
  write_pattern(64 * kMiB);
  start();
  for (int i = 0; i < 3; ++i) {
    RawConnection connection(port());
    take_slowly(connection);
    connection.send(ask());
    head(connection);
    EXPECT_EQ(take(connection, kMiB), kMiB);
    EXPECT_EQ(open_descriptors(), 1);
  }
  EXPECT_TRUE(soon([&] { return open_descriptors() == 0 && server_->status().connections == 0; }));
}

TEST_F(DownloadTest, WhoDoesNotReadIsHungUpOn) {
  write_pattern(64 * kMiB);
  start({.write_s = 0.3});
  RawConnection connection(port());
  take_slowly(connection);
  connection.send(ask());
  EXPECT_TRUE(soon([&] { return open_descriptors() == 1; }));
  EXPECT_TRUE(soon([&] { return open_descriptors() == 0 && server_->status().connections == 0; }));
}

// The deadline is one chunk's, not the file's.
TEST_F(DownloadTest, WhoReadsSlowlyGetsAll) {
  write_pattern(16 * kMiB);
  start({.write_s = 1});
  RawConnection connection(port());
  take_slowly(connection);
  connection.send(ask());
  head(connection);
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(40)); };
  EXPECT_EQ(take(connection, 16 * kMiB, pause), 16 * kMiB);
}

TEST_F(DownloadTest, AFileThatShrinksEndsTheConnection) {
  write_pattern(64 * kMiB);
  start();
  RawConnection connection(port());
  take_slowly(connection);
  connection.send(ask());
  EXPECT_NE(head(connection).find("Content-Length: 67108864\r\n"), std::string::npos);
  constexpr int64_t kLeft = 32 * kMiB + 1000;
  fs::resize_file(path_, kLeft);
  const int64_t taken = take(connection, 64 * kMiB);
  EXPECT_LE(taken, kLeft);
  EXPECT_GE(taken, 32 * kMiB);  // what was there, and nothing in its place
  EXPECT_TRUE(connection.ended());
  EXPECT_TRUE(soon([&] { return open_descriptors() == 0; }));
}

TEST_F(DownloadTest, AFileThatGrowsOrIsReplacedIsSentAsItWasFound) {
  write_pattern(32 * kMiB);
  start();
  RawConnection connection(port());
  take_slowly(connection);
  connection.send(ask());
  head(connection);
  std::ofstream(path_, std::ios::app) << "more";
  fs::rename(path_, path_.string() + ".old");
  api::write_file(path_, "another");
  EXPECT_EQ(take(connection, 32 * kMiB), 32 * kMiB);
  EXPECT_EQ(connection.ask(ask()).body, "another");
}

TEST_F(DownloadTest, TooManyAtOnceAreToldToComeBack) {
  write_pattern(64 * kMiB);
  start({.downloads = 2});
  RawConnection third(port());
  {
    RawConnection first(port()), second(port());
    for (RawConnection* one : {&first, &second}) {
      take_slowly(*one);
      one->send(ask());
      EXPECT_TRUE(head(*one).starts_with("HTTP/1.1 200"));
    }
    const auto refused = third.ask(ask());
    EXPECT_EQ(refused.status, 503);
    EXPECT_NE(refused.head.find("Retry-After: 1\r\n"), std::string::npos);
    EXPECT_EQ(third.ask(get("/healthz")).status, 200);
    third.send(ask("", "HEAD"));
    EXPECT_TRUE(head(third).starts_with("HTTP/1.1 200"));
  }
  EXPECT_TRUE(soon([&] { return third.ask(ask("Range: bytes=0-9\r\n")).status == 206; }));
}

TEST_F(DownloadTest, StoppingDoesNotWaitForThem) {
  write_pattern(64 * kMiB);
  start();
  RawConnection connection(port());
  take_slowly(connection);
  connection.send(ask());
  head(connection);
  const double before = monotonic_seconds();
  stop();
  EXPECT_LT(monotonic_seconds() - before, 5);
  EXPECT_EQ(open_descriptors(), 0);
}

}  // namespace
}  // namespace saemill::net
