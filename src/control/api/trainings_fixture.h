// For tests of the trainings' endpoints: requests by endpoint, and trainings in every status.
#pragma once

#include "control/api/endpoints.h"
#include "control/api/problem.h"
#include "control/api/services_fixture.h"
#include "control/store/run_events.h"

namespace saemill::api {

class TrainingsApi : public ServicesTest {
 protected:
  using Endpoint = HttpResponse (*)(Services&, const Request&);

  // The body; status_ says which.
  Json call(Endpoint endpoint, const std::string& id, const Fields& query, const Json& body) {
    Request request;
    request.path["id"] = id;
    request.query = query, request.body = body;
    HttpResponse response;
    try {
      response = endpoint(services_, request);
    } catch (const Problem& problem) {
      response = problem_response(problem);
    }
    status_ = response.status;
    return response.body.empty() ? Json() : Json::parse(response.body);
  }
  Json get(Endpoint endpoint, const std::string& id, const Fields& query = {}) {
    return call(endpoint, id, query, nullptr);
  }
  Json post(Endpoint endpoint, const std::string& id, const Json& body) {
    return call(endpoint, id, {}, body);
  }

  static Json config() {
    return {{"activations", {{"path", "shard.safetensors"}}},
            {"sae", {{"d_sae", 128}, {"k", 8}}},
            {"train", {{"steps", 10}, {"batch_size", 64}}}};
  }
  // POST trainings with more members.
  Json create(const Json& more = nullptr, const Json& what = config()) {
    Json body{{"config", what}};
    if (!more.is_null()) body.update(more);
    return post(create_trainings, "", body);
  }
  int64_t stored() { return trainings_->list({}).total; }

  TrainingRow row(const std::string& id, TrainingStatus status = TrainingStatus::queued) {
    TrainingRow made;
    made.id = id, made.name = "run " + id, made.status = status;
    made.config = create_config_.dump();
    made.server_id = "server", made.created_at = 1'800'000'000'000;
    return made;
  }
  void insert(const TrainingRow& made) {
    std::vector<TrainingRow> rows{made};
    trainings_->insert(rows);
  }

  int status_ = 0;

 private:
  Json create_config_ = {{"name", "sae"},
                         {"activations", {{"path", "shard.safetensors"}, {"d_in", 64}}},
                         {"sae", {{"d_sae", 128}, {"k", 8}}},
                         {"train", {{"steps", 10}, {"batch_size", 64}}}};
};

inline std::string pointer_of(const Json& problem, size_t place = 0) {
  return problem.at("errors").at(place).at("pointer").get<std::string>();
}
inline std::string code_of(const Json& problem, size_t place = 0) {
  return problem.at("errors").at(place).at("code").get<std::string>();
}

}  // namespace saemill::api
