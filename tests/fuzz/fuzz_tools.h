// What fuzz targets share: cutting an input, saying what is wrong, and what every answer must be.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "control/api/dispatch.h"
#include "control/api/services_fixture.h"

namespace saemill::fuzz {

using api::HttpRequest;
using api::HttpResponse;
using api::Json;

// Ends the process: that is how libFuzzer, and the replay, learn of it.
[[noreturn]] inline void wrong(const std::string& what) {
  std::fprintf(stderr, "wrong: %s\n", what.c_str());
  std::abort();
}

inline void check(bool fine, const char* what) {
  if (!fine) wrong(what);
}

// An input, cut from its front. Behind its end are zeros and empty texts.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    const std::string text = bytes(1);
    return text.empty() ? uint8_t{0} : static_cast<uint8_t>(text[0]);
  }
  std::string bytes(size_t count) {
    std::string text(rest_.substr(0, count));
    rest_.remove_prefix(text.size());
    return text;
  }
  // Two bytes of length, the low one first, and as much text.
  std::string text() {
    const size_t low = byte(), high = byte();
    return bytes(low | (high << 8));
  }
  std::string line() {
    std::string text(rest_.substr(0, rest_.find('\n')));
    rest_.remove_prefix(std::min(text.size() + 1, rest_.size()));
    return text;
  }
  std::string all() { return bytes(rest_.size()); }

 private:
  std::string_view rest_;
};

// Services as the endpoints' tests have them, with a store that starts again after some inputs, so that its
// size tells nothing.
class World : public api::ServicesTest {
 public:
  World() {
    SetUp();
    session_ = auth_->open_session().secret;
  }
  ~World() override { TearDown(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  static World& fresh(size_t uses = 2000);

  api::Services& services() { return services_; }
  api::Auth& auth() { return *auth_; }
  const std::string& session() const { return session_; }  // a valid one
  static constexpr const char* kTheToken = kToken;

 private:
  void TestBody() override {}
  std::string session_;
};

// Aborts where the answer is none that we give; `asked` is the size of the request.
void check_answer(const HttpResponse& answer, size_t asked);

}  // namespace saemill::fuzz
