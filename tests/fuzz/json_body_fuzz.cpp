// The body of a POST: a byte for the route, a byte for how it comes, then JSON or what should be.
#include "common/base/error.h"
#include "common/protocol/run_config.h"
#include "tests/fuzz/fuzz_tools.h"

namespace {

using namespace saemill;
using namespace saemill::fuzz;

constexpr uint8_t kWithKey = 1, kAsText = 2, kOddKey = 4;

const std::vector<const api::Route*>& posts() {
  static const std::vector<const api::Route*> routes = [] {
    std::vector<const api::Route*> found;
    for (const api::Route& route : api::route_table())
      if (std::string_view(route.method) == "POST") found.push_back(&route);
    return found;
  }();
  return routes;
}

bool has(const HttpResponse& answer, const std::string& name) {
  return std::any_of(answer.headers.begin(), answer.headers.end(),
                     [&](const auto& header) { return header.first == name; });
}

// Asked again with the same key it is not done again, and another request does not get its answer.
void check_once(World& world, HttpRequest asked, const HttpResponse& first, size_t size) {
  const HttpResponse second = api::dispatch(world.services(), asked);
  check_answer(second, size);
  check(second.status == first.status && second.body == first.body, "the same key, another answer");
  if (!has(second, "Idempotency-Replayed")) return;  // of a request that is not kept
  asked.body += " ";
  const HttpResponse other = api::dispatch(world.services(), asked);
  check(other.status == 409, "the same key for another request");
}

// The reader of configurations without the endpoint before it.
void check_config(const std::string& text) {
  const auto deep = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > 32) throw std::length_error("");  // as the server does
    return true;
  };
  nlohmann::json tree;
  try {
    tree = nlohmann::json::parse(text, deep);
  } catch (const nlohmann::json::exception&) {
    return;
  } catch (const std::length_error&) {
    return;
  }
  if (tree.is_object() && tree.contains("config")) tree = nlohmann::json(tree["config"]);
  try {
    const RunConfig config = run_config_from_json(tree);
    const nlohmann::json once = run_config_to_json(config);
    // Of two ways to give a batch only one may be given.
    if (config.train.batch_size_per_device > 0) return;
    check(nlohmann::json(run_config_to_json(run_config_from_json(once))) == once,
          "a configuration that changes");
  } catch (const ConfigError& error) {
    check(!error.problems().empty() && error.problems().size() <= kMostConfigProblems,
          "a refused configuration without problems, or with too many");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  World& world = World::fresh(500);
  Input input(data, size);
  const api::Route& route = *posts()[input.byte() % posts().size()];
  const uint8_t how = input.byte();
  static size_t asked_so_far = 0;  // no input may find the keys of another
  HttpRequest asked;
  asked.method = "POST";
  asked.target = route.pattern;
  asked.content_type = (how & kAsText) != 0 ? "text/plain" : "application/json; charset=utf-8";
  if ((how & (kWithKey | kOddKey)) != 0) asked.idempotency_key = std::to_string(++asked_so_far);
  if ((how & kOddKey) != 0) asked.idempotency_key += input.line();
  asked.body = input.all();

  const HttpResponse answer = api::dispatch(world.services(), asked);
  check_answer(answer, size);
  check(answer.status != 429 && answer.status != 304, "a status that no POST has");
  const bool once = route.work == api::Route::Work::slow && route.access == api::Route::Access::signed_in;
  if (once && asked.idempotency_key.size() > 0) check_once(world, asked, answer, size);
  check_config(asked.body);
  return 0;
}
