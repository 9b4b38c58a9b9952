// HTTP and WebSocket by hand, for tests that must say what a well-behaved client never would.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace saemill::testing_tools {

struct RawAnswer {
  int status = 0;  // 0: the connection ended without one
  std::string head, body;
};

// One TCP connection to 127.0.0.1. Waits at most `patience` seconds for anything.
class RawConnection {
 public:
  explicit RawConnection(int port, double patience = 10) : patience_(patience) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
  }
  ~RawConnection() { ::close(fd_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  int fd() const { return fd_; }
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // False: the connection ended, or nothing came in time.
  bool receive() {
    pollfd polled{fd_, POLLIN, 0};
    if (::poll(&polled, 1, static_cast<int>(patience_ * 1e3)) <= 0) return false;
    char bytes[16384];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(n));
    return true;
  }
  bool ended() {  // by the other side
    while (receive()) {
    }
    char byte;
    return ::recv(fd_, &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
  }

  RawAnswer answer() {
    RawAnswer answer;
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!receive()) return answer;
    answer.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    answer.status = std::stoi(answer.head.substr(9, 3));
    const size_t at = answer.head.find("Content-Length: ");
    const size_t length = at == std::string::npos ? 0 : std::stoul(answer.head.substr(at + 16));
    while (buffer_.size() < length)
      if (!receive()) break;
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return answer;
  }
  RawAnswer ask(std::string_view request) {
    send(request);
    return answer();
  }

  // --- WebSocket
  RawAnswer upgrade(const std::string& headers) {
    return ask(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
        headers + "\r\n");
  }
  void say(std::string_view text) {  // masked with zeros, which is a mask
    std::string frame = "\x81";
    if (text.size() < 126) {
      frame += static_cast<char>(0x80 | text.size());
    } else {
      frame += static_cast<char>(0xfe);
      frame += static_cast<char>(text.size() >> 8);
      frame += static_cast<char>(text.size() & 0xff);
    }
    send(frame + std::string(4, '\0') + std::string(text));
  }
  struct Frame {
    int opcode = 0;
    std::string payload;
    int close_code() const {
      return payload.size() < 2
                 ? 0
                 : static_cast<unsigned char>(payload[0]) * 256 + static_cast<unsigned char>(payload[1]);
    }
  };
  std::optional<Frame> frame() {
    const auto need = [this](size_t size) {
      while (buffer_.size() < size)
        if (!receive()) return false;
      return true;
    };
    if (!need(2)) return std::nullopt;
    const auto byte = [this](size_t at) {
      return static_cast<uint64_t>(static_cast<unsigned char>(buffer_[at]));
    };
    uint64_t size = byte(1) & 0x7f;
    size_t head = 2;
    const size_t more = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (more > 0) {
      if (!need(2 + more)) return std::nullopt;
      size = 0;
      for (size_t i = 0; i < more; ++i) size = size << 8 | byte(2 + i);
      head += more;
    }
    if (!need(head + size)) return std::nullopt;
    Frame frame{static_cast<int>(byte(0) & 0x0f), buffer_.substr(head, size)};
    buffer_.erase(0, head + size);
    return frame;
  }

 private:
  int fd_ = -1;
  double patience_;
  std::string buffer_;
};

}  // namespace saemill::testing_tools
