// Every answer of the server, and every message of the live channels, fits openapi.json.
#include <fmt/format.h>

#include <map>

#include "control/api/dispatch.h"
#include "control/api/live_client.h"
#include "control/api/live_feed.h"
#include "control/api/openapi.h"
#include "control/api/run_folder_fixture.h"
#include "control/api/schema_check.h"
#include "control/api/services_fixture.h"
#include "control/api/training_feed.h"
#include "control/store/measured_run_fixture.h"

namespace saemill::api {
namespace {

using Names = std::set<std::string>;

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string example(const Route& route) {
  std::string path = route.pattern;
  for (const auto& [brace, value] : std::map<std::string, std::string>{
           {"{id}", "0"}, {"{name}", "step-00000010"}, {"{file}", "rows.safetensors"}})
    if (const size_t at = path.find(brace); at != std::string::npos) path.replace(at, brace.size(), value);
  return path;
}

class OpenapiAnswers : public ServicesTest {
 protected:
  HttpResponse ask(const HttpRequest& request) {
    const HttpResponse response = dispatch(services_, request);
    compare(request, response);
    return response;
  }
  int ask(const std::string& method, const std::string& target, const std::string& body = "",
          const std::string& key = "") {
    HttpRequest request;
    request.method = method, request.target = target, request.body = body, request.idempotency_key = key;
    if (!body.empty()) request.content_type = "application/json";
    return ask(request).status;
  }
  void expect(int status, const std::string& method, const std::string& target,
              const std::string& body = "") {
    EXPECT_EQ(ask(method, target, body), status) << method << " " << target << " " << body;
  }
  void fits(const Json& schema, const Json& value) {
    for (const std::string& error : check_.errors(schema, value)) ADD_FAILURE() << error << "\n" << value;
  }

  const Json& operation(const Route& route) const {
    return check_.document().at("paths").at(route.pattern).at(lower(route.method));
  }
  Json with_references(const Json& value) const {
    return value.contains("$ref") ? check_.resolve(value["$ref"].get<std::string>()) : value;
  }

  void fill_store();
  void ask_devices();
  void ask_recommend_and_validate();
  void ask_estimate_and_inspect();
  void ask_files();
  void create_trainings_everyhow();
  void ask_trainings();
  void ask_others();
  void ask_of_other_snapshots();
  void refuse_everywhere();
  void follow_live();
  void follow_trainings();
  std::vector<Json> sent(LiveClient& client);

  SchemaCheck check_{Json::parse(openapi_json())};
  std::map<std::string, Names> statuses_;  // that were seen, by operation

 private:
  void compare(const HttpRequest& request, const HttpResponse& response);
  void compare_content(const Json& wanted, const HttpResponse& response);
};

void OpenapiAnswers::compare(const HttpRequest& request, const HttpResponse& response) {
  SCOPED_TRACE(fmt::format("{} {} {} -> {} {}", request.method, request.target, request.body, response.status,
                           response.body.substr(0, 2000)));
  const Match found = match(request.method, *parse_target(request.target));
  ASSERT_NE(found.route, nullptr);
  const Json& wanted = operation(*found.route);
  const std::string status = std::to_string(response.status);
  statuses_[wanted.at("operationId").get<std::string>()].insert(status);
  ASSERT_TRUE(wanted.at("responses").contains(status));
  compare_content(with_references(wanted["responses"][status]), response);
  // What is accepted is what is written.
  if (response.status < 300 && !request.body.empty())
    fits(wanted.at("requestBody").at("content").at("application/json").at("schema"),
         Json::parse(request.body));
}

void OpenapiAnswers::compare_content(const Json& wanted, const HttpResponse& response) {
  const std::string type = response.content_type.substr(0, response.content_type.find(';'));
  EXPECT_EQ(wanted.contains("content"), response.file || !response.body.empty());
  if (!wanted.contains("content")) return;
  ASSERT_TRUE(wanted["content"].contains(type)) << type;
  const Json& schema = wanted["content"][type].at("schema");
  if (response.file) return;
  if (type.starts_with("text/")) return fits(schema, response.body);
  const Json body = Json::parse(response.body);
  fits(schema, body);
  if (type != "application/problem+json") return;
  EXPECT_EQ(body.at("status"), response.status);
  const Json& codes = wanted.at("x-codes");
  EXPECT_NE(std::find(codes.begin(), codes.end(), body.at("code")), codes.end()) << body.at("code");
}

void OpenapiAnswers::fill_store() {
  HistorySample full{.uuid = "GPU-00000000", .time_ms = 1800000000000, .job_id = "t1", .values = {}};
  full.values.fill(5.0);
  HistorySample poor{.uuid = "GPU-00000000", .time_ms = 1800000005000, .job_id = "", .values = {}};
  poor.values[0] = 7;
  HistorySample gone = full;
  gone.uuid = "GPU-gone";
  history_->add({full, poor, gone});
  std::vector<MachineEvent> list(3);
  list[0].severity = Severity::error;
  list[0].code = "xid", list[0].device_uuid = "GPU-00000000", list[0].training_id = "t1";
  list[1].code = "low_disk", list[1].over = true;
  list[2].code = "hot", list[2].severity = Severity::warning;
  for (MachineEvent& event : list) event.time = 1.8e9, event.host = "here", event.message = "it happened";
  events_->add(list);
  // Where `example` finds something.
  write_run(services_.run_folder("0"));
  add_training(*database_, "0");
  add_training(*database_, "waiting", TrainingStatus::queued);
}

void OpenapiAnswers::ask_devices() {
  const std::string system = "/api/v1/system/", gpus = system + "gpus/";
  expect(200, "GET", system + "gpus");
  for (const char* id : {"0", "GPU-11111111", "gpu:0", "cpu:1", "6", "7"}) expect(200, "GET", gpus + id);
  for (const char* id : {"99", "nobody", "gpu:50", "GPU-x"}) expect(404, "GET", gpus + id);
  expect(200, "GET", gpus + "0/history");
  expect(200, "GET", gpus + "0/history?from=1799999990&to=1800000010");
  for (const char* fields : {"utilization,energy", "power_draw"})
    expect(200, "GET", gpus + "0/history?from=1799999990&to=1800000010&buckets=2&fields=" + fields);
  expect(200, "GET", gpus + "GPU-gone/history?from=2027-01-15T08:00:00Z&to=2027-01-15T08:00:10Z");
  expect(404, "GET", gpus + "nobody/history");
  expect(400, "GET", gpus + "0/history?from=yesterday");
  expect(422, "GET", gpus + "0/history?fields=nonsense");
  expect(422, "GET", gpus + "0/history?from=10&to=5");
  expect(200, "GET", system + "metrics");
  expect(200, "GET", system + "metrics?view=per_gpu");
  expect(200, "GET", system + "host");
}

const char* const kConfig =
    R"({"activations": {"d_in": 64}, "sae": {"d_sae": 128, "k": 8}, "train": {"steps": 10}})";

std::string config_of(const char* path) {
  return fmt::format(
      R"({{"activations": {{"path": "{}"}}, "sae": {{"d_sae": 128, "k": 8}}, "train": {{"steps": 10}}}})",
      path);
}

void OpenapiAnswers::ask_recommend_and_validate() {
  const std::string recommend = "/api/v1/system/gpus/recommend", validate = "/api/v1/system/gpus/validate";
  for (const char* query :
       {"", "?count=2", "?kind=cpu&count=2", "?memory_mb=1000", "?exclude=gpu:0,MIG-44444444"})
    expect(200, "GET", recommend + query);
  for (const char* query : {"?count=9", "?memory_mb=900000", "?kind=cpu&count=3&mixed_models=true"})
    expect(409, "GET", recommend + query);
  expect(400, "GET", recommend + "?exclude=nobody");
  for (const char* ids :
       {"[0]", R"(["gpu:0", 0, 99])", "[1, 2, 3, 4, 6, 7]", "[5, 0]", R"(["gpu:0", "cpu:0"])"})
    for (const char* memory :
         {"", R"(, "memory_mb": 1)", R"(, "memory_mb": 134000)", R"(, "memory_mb": 900000)"})
      expect(200, "POST", validate, fmt::format(R"({{"gpu_ids": {}{}}})", ids, memory));
  expect(200, "POST", validate, fmt::format(R"({{"gpu_ids": [0], "config": {}}})", kConfig));
  expect(422, "POST", validate, R"({"gpu_ids": [0], "memory_mb": 1, "config": {}})");
  expect(422, "POST", validate, R"({"gpu_ids": []})");
}

void OpenapiAnswers::ask_estimate_and_inspect() {
  const std::string validate = "/api/v1/system/gpus/validate", estimate = "/api/v1/trainings/estimate",
                    inspect = "/api/v1/activations/inspect";
  for (const char* devices :
       {"", R"(, "gpu_ids": [0, 4])", R"(, "gpu_ids": ["cpu:0"])", R"(, "device_count": 30)"})
    expect(200, "POST", estimate, fmt::format(R"({{"config": {}{}}})", kConfig, devices));
  expect(200, "POST", estimate, fmt::format(R"({{"config": {}}})", config_of("shard.safetensors")));
  testing_tools::add_measured(*database_, "measured", kConfig, R"(["GPU-00000000"])");
  for (const char* devices : {"", R"(, "gpu_ids": [0, 1])"})
    expect(200, "POST", estimate, fmt::format(R"({{"config": {}{}}})", kConfig, devices));
  for (const auto& [target, begin] : std::map<std::string, std::string>{
           {validate, R"({"gpu_ids": [0], "config": )"}, {estimate, R"({"config": )"}}) {
    expect(403, "POST", target, begin + config_of("/etc/passwd") + "}");
    expect(404, "POST", target, begin + config_of("nothing.safetensors") + "}");
    expect(422, "POST", target, begin + config_of("damaged.safetensors") + "}");
    expect(422, "POST", target, begin + R"({"sae": {"k": -1, "nonsense": 1}}})");
    expect(422, "POST", target, begin + "7}");
  }
  expect(422, "POST", estimate, R"({"config": {}, "gpu_ids": [0], "device_count": 1})");
  expect(422, "POST", estimate, R"({"config": {}, "gpu_ids": ["nobody", 0, 0]})");
  expect(422, "POST", estimate, R"({"config": {}, "gpu_ids": ["gpu:0", "cpu:0"]})");
  expect(200, "POST", inspect, R"({"path": "shard.safetensors", "tensor": "a"})");
  expect(200, "POST", inspect, R"({"path": "shard.safetensors"})");
  expect(403, "POST", inspect, R"({"path": "/etc/passwd"})");
  expect(404, "POST", inspect, R"({"path": "nothing"})");
  expect(422, "POST", inspect, R"({"path": "damaged.safetensors"})");
  for (const std::string& target : {validate, estimate, inspect}) {
    for (const char* body : {"[]", "{}", R"({"more": 1})", "null"}) expect(422, "POST", target, body);
    ask("POST", target, R"({"gpu_ids": [0]})", target);
    EXPECT_EQ(ask("POST", target, R"({"gpu_ids": [1]})", target), 409);
  }
}

void OpenapiAnswers::ask_files() {
  const std::string trainings = "/api/v1/trainings/";
  const auto request = [&](const std::string& path, const std::string& range) {
    HttpRequest asked;
    asked.method = "GET", asked.target = trainings + path, asked.range = range;
    return asked;
  };
  for (const char* path : {"0/checkpoints", "0/checkpoints/step-00000010", "0/sae", "0/logs?rank=launcher",
                           "0/logs?rank=0&tail=5"})
    expect(200, "GET", trainings + path);
  for (const char* path : {"0/checkpoints/step-00000010/manifest.json", "0/sae/rows.safetensors"}) {
    expect(200, "GET", trainings + path);
    EXPECT_EQ(ask(request(path, "bytes=0-0")).status, 206);
    EXPECT_EQ(ask(request(path, "bytes=100-")).status, 416);
    expect(404, "GET", trainings + path + "x");
  }
  for (const char* path : {"nobody/checkpoints", "0/checkpoints/none", "nobody/sae", "0/logs?rank=3"})
    expect(404, "GET", trainings + path);
  for (const char* path : {"waiting/sae", "waiting/sae/cfg.json"}) expect(409, "GET", trainings + path);
  for (const char* query : {"?rank=x", "?tail=x"}) expect(400, "GET", trainings + "0/logs" + query);
}

void OpenapiAnswers::create_trainings_everyhow() {
  const std::string trainings = "/api/v1/trainings";
  const auto with = [](const std::string& config, const std::string& more) {
    return fmt::format(R"({{"config": {}{}}})", config, more);
  };
  const std::string fine = config_of("shard.safetensors");
  const std::string all = R"("priority": 1, "after": ["0"], "time_limit_s": 60, "max_restarts": 0,
                             "hold": false, "start": "queue")";
  expect(201, "POST", trainings, with(fine, ""));
  expect(201, "POST", trainings, with(fine, R"(, "gpu_ids": null, "device_count": 2, )" + all));
  expect(201, "POST", trainings, with(fine, R"(, "gpu_ids": [0, "gpu:7"], )" + all));
  std::string group = fine;
  group.replace(group.find("\"k\": 8"), 6, "\"k\": [4, 8]");
  expect(201, "POST", trainings, with(group, ""));
  expect(403, "POST", trainings, with(config_of("/etc/passwd"), ""));
  expect(404, "POST", trainings, with(config_of("nothing.safetensors"), ""));
  for (const char* more : {R"(, "gpu_ids": [99])", R"(, "device_count": 99)", R"(, "after": ["nobody"])"})
    expect(422, "POST", trainings, with(fine, more));
  expect(422, "POST", trainings, with(R"({"sae": {"k": []}})", ""));
  const std::string again = trainings + "/new-1/duplicate";
  expect(201, "POST", again);
  expect(201, "POST", again, R"({"overrides": {"sae.k": 4}, "name": "x", "device_count": 1, )" + all + "}");
  expect(201, "POST", again, R"({"gpu_ids": [0]})");
  expect(404, "POST", trainings + "/nobody/duplicate", "{}");
  expect(422, "POST", again, R"({"overrides": {"sae.k": -1}})");
  busy_ = true;
  expect(409, "POST", trainings, with(fine, R"(, "start": "now")"));
  expect(409, "POST", again, R"({"start": "now"})");
  for (const std::string& target : {trainings, again, trainings + "/new-1/control"}) {
    ask("POST", target, "{}", target);
    EXPECT_EQ(ask("POST", target, R"({"more": 1})", target), 409);
  }
}

// With all that a training may tell.
TrainingRow full_training() {
  TrainingRow row;
  row.id = "full", row.name = "run", row.status = TrainingStatus::running, row.group_id = "g";
  row.reason_code = "restarting", row.reason_message = "GPU-1 was lost",
  row.expected_start = 1'800'000'000'000;
  row.asked_gpu_ids = R"(["GPU-1"])", row.device_uuids = R"(["GPU-1"])", row.gpu_ids = "[0]";
  row.time_limit_s = 60, row.finalized_from_step = 3, row.error = "it failed";
  row.started_at = 1'800'000'000'000, row.completed_at = 1'800'000'000'001;
  row.from_checkpoint = 5, row.server_id = "server";
  return row;
}

void OpenapiAnswers::ask_trainings() {
  const std::string trainings = "/api/v1/trainings", full = trainings + "/full";
  create_trainings_everyhow();
  std::vector<TrainingRow> rows{full_training()};
  trainings_->insert(rows);
  rows[0].id = "waiting too", rows[0].expected_start.reset(), rows[0].status = TrainingStatus::queued;
  trainings_->insert(rows);
  RunEvent metrics;
  metrics.seq = 1, metrics.time_ms = 1'800'000'000'000, metrics.event = "metrics", metrics.step = 1;
  metrics.metrics = {{"loss", 0.5}, {"fvu", std::nullopt}};
  RunEvent warning;
  warning.seq = 2, warning.event = "warning", warning.data = R"({"seq": 2, "event": "warning", "code": "x"})";
  RunEvents(*database_).apply("full", {}, {.offset = 10, .seq = 2}, {metrics, warning});
  for (const char* query : {"", "?status=queued,running&group_id=g&page=1&limit=10"})
    expect(200, "GET", trainings + query);
  expect(400, "GET", trainings + "?status=nonsense");
  for (const char* path : {"", "/metrics", "/events", "/events?since=1&limit=5",
                           "/metrics?names=loss&from_step=0&to_step=10&buckets=5&rank=1"})
    expect(200, "GET", full + path);
  for (const char* path : {"", "/metrics", "/events"}) expect(404, "GET", trainings + "/nobody" + path);
  expect(422, "GET", full + "/metrics?from_step=2&to_step=1");
  expect(409, "POST", full + "/control", R"({"action": "resume"})");
  expect(202, "POST", full + "/control", R"({"action": "pause"})");
  expect(202, "POST", trainings + "/new-1/control", R"({"action": "hold", "priority": 7})");
  for (const char* body : {R"({"action": "cancel"})", R"({"action": "retry", "gpu_ids": [0]})",
                           R"({"action": "cancel"})", R"({"action": "retry", "device_count": 2})"})
    expect(202, "POST", trainings + "/new-2/control", body);
  add_training(*database_, "ended", TrainingStatus::cancelled);
  const std::string retry = R"({"action": "retry", "checkpoint": ")";
  expect(422, "POST", trainings + "/ended/control", retry + "step-00000007\"}");
  expect(202, "POST", trainings + "/ended/control", retry + "step-00000010\"}");
  expect(202, "POST", trainings + "/ended/control", R"({"action": "prioritize", "priority": 0})");
  for (const char* body :
       {"{}", R"({"action": "stop"})", R"({"action": "prioritize"})",
        R"({"action": "hold", "checkpoint": "step-00000010"})", R"({"action": "cancel", "priority": 1})"})
    expect(422, "POST", trainings + "/new-1/control", body);
  expect(404, "POST", trainings + "/nobody/control", R"({"action": "hold"})");
  const std::string checkpoint = "/checkpoints/step-00000010";
  expect(409, "DELETE", trainings + "/waiting" + checkpoint);
  expect(204, "DELETE", trainings + "/0" + checkpoint);
  for (const char* id : {"/0", "/nobody"}) expect(404, "DELETE", trainings + id + checkpoint);
  expect(204, "DELETE", trainings + "/new-1");
  expect(404, "DELETE", trainings + "/new-1");
  expect(409, "DELETE", full);
}

void OpenapiAnswers::ask_others() {
  const std::string api = "/api/v1/";
  for (const char* query : {"", "?since=1", "?severity=error&page=2&limit=1", "?device=GPU-0", "?training=1"})
    expect(200, "GET", api + "events" + query);
  for (const char* name : {"config-schema", "metric-catalog", "openapi.json", "server"})
    expect(200, "GET", api + name);
  for (const char* path : {"/healthz", "/metrics", "/login"}) expect(200, "GET", path);
  expect(303, "GET", "/login?code=" + auth_->new_code());
  expect(401, "GET", "/login?code=guess");
  expect(201, "POST", api + "session", fmt::format(R"({{"token": "{}"}})", kToken));
  expect(401, "POST", api + "session", R"({"token": "guess"})");
  expect(422, "POST", api + "session", R"({"token": 7})");
  expect(204, "DELETE", api + "session");
  expect(201, "POST", api + "login-codes");
}

void OpenapiAnswers::ask_of_other_snapshots() {
  const std::string api = "/api/v1/", ours = R"({"gpu_ids": [0]})";
  snapshot_ = poor_snapshot();
  for (const char* name : {"system/gpus", "system/metrics", "system/host", "server"})
    expect(200, "GET", api + name);
  snapshot_ = std::make_shared<Snapshot>();
  for (const char* name : {"system/gpus", "system/metrics"}) expect(200, "GET", api + name);
  snapshot_ = nullptr;
  for (const char* path : {"/healthz", "/metrics", "/api/v1/server"}) expect(200, "GET", path);
  for (const char* name : {"gpus", "gpus/0", "gpus/0/history", "gpus/recommend", "metrics", "host"})
    expect(503, "GET", api + "system/" + name);
  expect(503, "POST", api + "system/gpus/validate", ours);
  expect(503, "POST", api + "trainings/estimate", R"({"config": {}})");
}

void OpenapiAnswers::refuse_everywhere() {
  for (const Route& route : route_table()) {
    const std::string target = example(route), method = route.method;
    expect(400, method, target + "?nonsense=1");
    HttpRequest request;
    request.method = method, request.target = target;
    if (method == "GET") {
      request.if_none_match = "*";
      EXPECT_EQ(ask(request).status, 304) << target;
    }
    if (method == "POST") {
      expect(400, method, target, "{");
      request.content_type = "text/plain", request.body = "{}";
      EXPECT_EQ(ask(request).status, 415) << target;
    }
  }
}

std::vector<Json> OpenapiAnswers::sent(LiveClient& client) {
  std::vector<Json> messages;
  hub_.distribute();
  while (!client.outbox().empty()) {
    Json frame = Json::array();
    for (const MessagePtr& message : client.outbox().take()) frame.push_back(Json::parse(message->text));
    for (const Json& message : frame) messages.push_back(message);
    fits(Json{{"$ref", "#/components/schemas/ServerFrame"}}, frame.size() == 1 ? frame[0] : frame);
  }
  return messages;
}

// All that a live client may be told.
void OpenapiAnswers::follow_live() {
  const auto say = [&](LiveClient& client, const Json& message) {
    fits(Json{{"$ref", "#/components/schemas/ClientMessage"}}, message);
    client.receive(message.dump());
  };
  LiveFeed feed(hub_, "here");
  auto snapshot = rich_snapshot();
  feed.on_snapshot(*snapshot);
  const auto client = std::make_shared<LiveClient>(hub_, [] {});
  client->hello(services_.info);
  Names seen;
  for (const char* channel :
       {"system/gpus", "system/gpu/0", "system/aggregate", "system/host", "events", "none"})
    say(*client, {{"op", "subscribe"}, {"channel", channel}});
  client->receive("nonsense");
  const auto remember = [&] {
    for (const Json& message : sent(*client))
      seen.insert(message.at("event").get<std::string>() + " " + message.value("channel", ""));
  };
  remember();
  auto next = std::make_shared<Snapshot>(*snapshot);
  next->devices.erase(next->devices.begin() + 8);
  next->devices.push_back(full_gpu("GPU-new"));
  next->devices[0].availability = Availability::foreign;
  for (const char* uuid : {"GPU-00000000", "GPU-unseen"}) {
    auto& event = next->events.emplace_back();
    event.uuid = uuid, event.xid = 79;
  }
  take_places(*next);
  feed.on_snapshot(*next);
  MachineEvent event{.id = 0,
                     .time = 1.8e9,
                     .code = "xid",
                     .host = "here",
                     .device_uuid = {},
                     .training_id = {},
                     .message = "XID 79"};
  feed.told(event);
  event.id = 1, event.device_uuid = "GPU-00000000", event.training_id = "t1";
  feed.told(event);
  remember();
  say(*client, {{"op", "unsubscribe"}, {"channel", "events"}});
  say(*client, {{"op", "subscribe"}, {"channel", "events"}, {"since", 0}});
  say(*client, {{"op", "subscribe"}, {"channel", "events"}, {"since", 1000}});
  remember();
  for (const char* one :
       {"hello ", "error ", "subscribed events", "reset events", "system:metrics system/gpus",
        "system:metrics system/gpu/0", "system:metrics system/aggregate", "system:metrics system/host",
        "gpu:added system/gpus", "gpu:removed system/gpus", "gpu:state system/gpus", "gpu:xid system/gpus",
        "event:created events"})
    EXPECT_TRUE(seen.contains(one)) << one;
  client->leave();
}

// All that is told of trainings.
void OpenapiAnswers::follow_trainings() {
  TrainingFeed feed(hub_);
  TrainingRow row;
  row.id = "live", row.name = "run", row.status = TrainingStatus::running;
  feed.open_all({row}, [](const std::string&) { return std::vector<CheckpointRow>(); });
  const auto client = std::make_shared<LiveClient>(hub_, [] {});
  for (const char* channel : {"trainings", "trainings/live/progress", "trainings/live/checkpoints"})
    client->receive(Json{{"op", "subscribe"}, {"channel", channel}}.dump());
  Names seen;
  const auto remember = [&] {
    for (const Json& message : sent(*client)) seen.insert(message.at("event").get<std::string>());
  };
  const auto tell = [&](int64_t seq, const char* event, nlohmann::json more) {
    more["seq"] = seq, more["event"] = event;
    feed.on_run_event("live", {.seq = seq, .time_ms = 0, .attempt = 1, .event = event, .data = more});
  };
  tell(0, "warning", {{"code", "skipped_lines"}});
  tell(1, "warning", {{"code", "slow"}});
  tell(2, "metrics", {{"step", 1}, {"values", {{"loss", 1.5}}}});
  tell(3, "checkpoint", {{"step", 5}, {"path", "checkpoints/step-5"}, {"bytes", 1}});
  tell(4, "checkpoint", {{"step", 9}, {"path", "a/b"}, {"kept", {9}}, {"time", "2026-01-01T00:00:00.000Z"}});
  tell(5, "rewind", {{"step", 5}});
  TrainingRow full = full_training();
  feed.on_created(full);
  full.expected_start.reset();
  feed.on_changed(full);
  remember();
  for (const TrainingStatus status : {TrainingStatus::completed, TrainingStatus::failed}) {
    row.status = status;
    feed.on_changed(row);
    remember();
  }
  feed.on_deleted(row);
  remember();
  for (const char* one :
       {"training:created", "training:status", "training:deleted", "training:progress", "training:warning",
        "training:completed", "training:failed", "checkpoint:created", "checkpoint:deleted"})
    EXPECT_TRUE(seen.contains(one)) << one;
  client->leave();
}

// Optional members that nothing had, or that nothing lacked.
Names untried_members(const SchemaCheck& check) {
  Names untried;
  for (const auto& [name, schema] : check.document().at("components").at("schemas").items()) {
    if (!schema.contains("properties")) continue;
    const Json required = schema.value("required", Json::array());
    for (const auto& [key, part] : schema["properties"].items()) {
      if (std::find(required.begin(), required.end(), key) != required.end()) continue;
      for (const char* how : {" present", " absent"})
        if (const auto one = fmt::format("{}.{}{}", name, key, how); !check.seen().contains(one))
          untried.insert(one);
    }
  }
  return untried;
}

// And the other way round: whatever is written happens.
TEST_F(OpenapiAnswers, AreWhatIsWritten) {
  fill_store();
  ask_devices();
  ask_recommend_and_validate();
  ask_estimate_and_inspect();
  services_.gpu_constants = [](const Device&, const std::string&) {
    return std::optional(DeviceConstants{.context = 1, .communicator = 1});
  };
  expect(200, "POST", "/api/v1/trainings/estimate", fmt::format(R"({{"config": {}}})", kConfig));
  ask_files();
  ask_trainings();
  ask_others();
  refuse_everywhere();
  follow_live();
  follow_trainings();
  ask_of_other_snapshots();
  EXPECT_EQ(untried_members(check_), Names{});
  // net answers 401 and 403; a store that is away, and too many slow requests, give 503.
  const Names elsewhere = {"default", "401", "403", "503"};
  for (const Route& route : route_table()) {
    const Json& one = operation(route);
    for (const auto& [status, response] : one.at("responses").items())
      EXPECT_TRUE(elsewhere.contains(status) ||
                  statuses_[one.at("operationId").get<std::string>()].contains(status))
          << one.at("operationId") << " never answered " << status;
  }
}

// What a parameter's schema allows is accepted, and what lies beyond is refused.
TEST_F(OpenapiAnswers, ParametersHaveTheRangesThatAreWritten) {
  for (const Route& route : route_table()) {
    for (const Json& parameter : operation(route).value("parameters", Json::array())) {
      if (parameter.value("in", "") != "query") continue;
      const Json schema = with_references(parameter.at("schema"));
      const auto refused = [&](const std::string& value) {
        return ask(route.method,
                   example(route) + "?" + parameter.at("name").get<std::string>() + "=" + value) == 400;
      };
      SCOPED_TRACE(fmt::format("{} {}", route.pattern, parameter.dump()));
      const Json words = schema.value("enum", Json::array());
      for (const Json& word : words) EXPECT_FALSE(refused(word.get<std::string>()));
      if (!words.empty()) {
        EXPECT_TRUE(refused("nonsense"));
      }
      if (schema.value("type", "") != "integer") continue;
      const auto least = schema.at("minimum").get<int64_t>(), most = schema.value("maximum", INT64_MAX);
      EXPECT_FALSE(refused(std::to_string(least)));
      EXPECT_FALSE(refused(std::to_string(most)));
      EXPECT_TRUE(refused(std::to_string(least - 1)));
      EXPECT_TRUE(refused(most == INT64_MAX ? "9223372036854775808" : std::to_string(most + 1)));
      EXPECT_TRUE(refused("1.5"));
    }
  }
}

}  // namespace
}  // namespace saemill::api
