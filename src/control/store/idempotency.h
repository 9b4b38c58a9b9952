// idempotency_keys: answers to POST requests that carried an Idempotency-Key, so that a client which lost an
// answer may ask again without doing it twice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/store/database.h"

namespace saemill {

struct StoredAnswer {
  int64_t status = 0;
  std::string content_type, body;
};

// Thread-safe, and safe beside other servers on the same database.
class IdempotencyKeys {
 public:
  explicit IdempotencyKeys(Database& database) : database_(database) {}

  enum class Claim {
    ours,       // nobody used this key before: do it, then finish() or abandon()
    answered,   // done before, with the same request: `answer` is what it got
    under_way,  // somebody does it right now
    different,  // the key was used for another request
  };
  struct Claimed {
    Claim claim = Claim::ours;
    StoredAnswer answer;
  };
  // `request`: a digest of method, path and body. Keys are forgotten after 24 hours; `now` in epoch seconds.
  // Error{usage}: a key that is empty, longer than 255, or not printable ASCII. Where this throws
  // Error{retry}, the key may be claimed nevertheless, and is under way until abandon_all().
  Claimed claim(const std::string& key, const std::string& request, const std::string& server_id,
                int64_t now);
  // Both by whom the key was claimed for; without effect on a key that was answered or forgotten.
  void finish(const std::string& key, const StoredAnswer& answer);
  void abandon(const std::string& key);
  // At the start of a server: forgets what it left under way.
  void abandon_all(const std::string& server_id);

 private:
  Database& database_;
};

}  // namespace saemill
