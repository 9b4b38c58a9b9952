#include "tests/fuzz/fuzz_tools.h"

#include <algorithm>
#include <array>

namespace saemill::fuzz {
namespace {

constexpr std::array kKnown{200, 201, 204, 303, 304, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429};

// Nobody may put a line of their own into the head of an answer.
bool fits_a_header(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= ' '; });
}

void check_problem(const HttpResponse& answer, size_t asked) {
  const Json json = Json::parse(answer.body, nullptr, false);
  check(json.is_object(), "a problem is no JSON object");
  check(json.value("status", 0) == answer.status, "a problem tells another status");
  const auto code = json.find("code");
  check(code != json.end() && code->is_string() && !code->get<std::string>().empty(),
        "a problem without a code");
  // Each part of a request may be shown again, escaped; a list of everything that is wrong must end.
  check(answer.body.size() <= 20 * asked + (size_t{64} << 10), "an error much larger than what was asked");
}

}  // namespace

void check_answer(const HttpResponse& answer, size_t asked) {
  if (std::find(kKnown.begin(), kKnown.end(), answer.status) == kKnown.end())
    wrong("status " + std::to_string(answer.status) + ": " + answer.body);
  for (const auto& [name, value] : answer.headers)
    check(fits_a_header(name) && fits_a_header(value), "a header with a control character");
  check(fits_a_header(answer.content_type), "a content type with a control character");
  if (answer.status == 204 || answer.status == 304)
    return check(answer.body.empty(), "a body beside 204, 304");
  if (answer.status >= 400 && answer.content_type != "text/html; charset=utf-8")
    check(answer.content_type == "application/problem+json", "an error of another content type");
  if (answer.content_type == "application/problem+json") check_problem(answer, asked);
  if (answer.content_type == "application/json")
    check(Json::accept(answer.body), "application/json that is no JSON");
}

World& World::fresh(size_t uses) {
  static std::unique_ptr<World> world;
  static size_t used = 0;
  if (!world || ++used > uses) {
    world.reset();
    world = std::make_unique<World>();
    used = 0;
  }
  return *world;
}

}  // namespace saemill::fuzz
