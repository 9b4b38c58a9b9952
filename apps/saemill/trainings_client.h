// What the commands on a server's trainings share: which ones are meant, and what is told of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "find_server.h"

namespace saemill {

class TrainingsClient {
 public:
  using Json = nlohmann::ordered_json;

  // Error{usage}: no server.
  explicit TrainingsClient(const ServerChoice& choice);

  net::Client& http() { return client_; }
  const std::string& url() const { return client_.address().url; }

  // Newest first. `status`: several separated by commas; empty: all. `most`: then it ends, at a whole page.
  std::vector<Json> list(const std::string& status = "", size_t most = SIZE_MAX);
  Json get(const std::string& id);
  // The same while a server that is restarted or busy does not answer, for half a minute.
  Json get_patiently(const std::string& target);

  // Which trainings are meant: by an id, by a beginning of one that no other has (at least 4 characters), or
  // by a name that no other has. Error{usage}: none is, or which one is not clear; names those that could be.
  std::vector<Json> find(const std::vector<std::string>& words);

 private:
  net::Client client_;
};

// "/api/v1/trainings/ID" + rest
std::string training_target(const std::string& id, const std::string& rest = "");
std::string escaped(const std::string& segment);  // percent-encoded, of a path or a query

std::string text_of(const nlohmann::ordered_json& training, const char* member);  // empty: it is absent
std::string reason_of(const nlohmann::ordered_json& training);      // its error, else why it is as it is
std::string training_line(const nlohmann::ordered_json& training);  // "id  name  status  reason\n"

bool has_ended(const std::string& status);  // completed, failed, cancelled

// Goes on after one that fails, whose error is printed. Returns the exit code of the first failure, or 0.
int run_for_each(const std::vector<nlohmann::ordered_json>& trainings,
                 const std::function<int(const nlohmann::ordered_json&)>& work);

// "step-00001000" of what --checkpoint says: a name or a step. Error{usage}: there is none; names those that
// are.
std::string checkpoint_named(TrainingsClient& client, const std::string& id, const std::string& word);

void add_ids(CLI::App& command, std::vector<std::string>& ids);

}  // namespace saemill
