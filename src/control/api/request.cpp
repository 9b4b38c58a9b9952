#include "control/api/request.h"

#include <algorithm>
#include <charconv>

#include "control/api/problem.h"

namespace saemill::api {
namespace {

[[noreturn]] void refuse_parameter(const std::string& name, const std::string& value,
                                   const std::string& accepted) {
  const std::string message =
      fmt::format("the parameter {} is \"{}\"; accepted: {}", name, value.substr(0, 100), accepted);
  throw Problem(400, "invalid_parameter", message,
                {{"?" + name, "invalid_parameter", message, value.substr(0, 100), accepted}});
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

std::optional<std::string> Request::text(const std::string& name) const {
  std::optional<std::string> found;
  for (const auto& [key, value] : query) {
    if (key != name) continue;
    if (found) refuse_parameter(name, *found + "\" and \"" + value, "one value");
    found = value;
  }
  return found;
}

int64_t Request::integer(const std::string& name, int64_t otherwise, int64_t least, int64_t most) const {
  const auto found = text(name);
  if (!found) return otherwise;
  int64_t value = 0;
  const char* end = found->data() + found->size();
  const auto [stop, error] = std::from_chars(found->data(), end, value);
  if (error != std::errc() || stop != end || value < least || value > most)
    refuse_parameter(name, *found, fmt::format("a whole number from {} to {}", least, most));
  return value;
}

std::string Request::one_of(const std::string& name, const std::string& otherwise,
                            const std::vector<std::string>& accepted) const {
  const auto found = text(name);
  if (!found) return otherwise;
  if (std::find(accepted.begin(), accepted.end(), *found) == accepted.end())
    refuse_parameter(name, *found, join(accepted));
  return *found;
}

std::vector<std::string> Request::list(const std::string& name) const {
  std::vector<std::string> words;
  const std::string all = text(name).value_or("");
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find(',', begin), all.size());
    words.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

Members::Members(const Json& body, std::vector<std::string> known, std::string pointer)
    : body_(body), pointer_(std::move(pointer)) {
  if (!body.is_object())
    throw Problem(422, "invalid_request",
                  fmt::format("{} is {}; accepted: an object with the members {}",
                              pointer_.empty() ? "the body" : pointer_, body.type_name(), join(known)));
  constexpr size_t kMostErrors = 20;
  std::vector<FieldError> errors;
  for (const auto& [key, value] : body.items())
    if (errors.size() < kMostErrors && std::find(known.begin(), known.end(), key) == known.end())
      errors.push_back({pointer_ + "/" + key, "unknown_member",
                        fmt::format("there is no member \"{}\"; accepted: {}", key, join(known)), nullptr,
                        known});
  if (!errors.empty()) {
    const std::string detail = errors.front().message;
    throw Problem(422, "invalid_request", detail, std::move(errors));
  }
}

void Members::refuse(const std::string& name, const Json& value, const std::string& accepted) const {
  const std::string found = value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 100);
  const std::string message = fmt::format("{} is {}; accepted: {}", name, found, accepted);
  throw Problem(422, "invalid_request", message,
                {{pointer_ + "/" + name, "invalid_value", message, value, accepted}});
}

bool Members::has(const std::string& name) const {
  const auto found = body_.find(name);
  return found != body_.end() && !found->is_null();
}

const Json& Members::at(const std::string& name) const {
  if (has(name)) return body_.at(name);
  const std::string message = fmt::format("the member \"{}\" is missing", name);
  throw Problem(422, "invalid_request", message,
                {{pointer_ + "/" + name, "missing", message, nullptr, nullptr}});
}

std::string Members::text(const std::string& name) const {
  const Json& value = at(name);
  if (!value.is_string()) refuse(name, value, "a string");
  return value.get<std::string>();
}

int64_t Members::integer(const std::string& name, int64_t least, int64_t most) const {
  const Json& value = at(name);
  // An unsigned number beyond int64's range would wrap.
  const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                                               : value.is_number_integer();
  if (!fits || value.get<int64_t>() < least || value.get<int64_t>() > most)
    refuse(name, value, fmt::format("a whole number from {} to {}", least, most));
  return value.get<int64_t>();
}

bool Members::flag(const std::string& name) const {
  const Json& value = at(name);
  if (!value.is_boolean()) refuse(name, value, "true, false");
  return value.get<bool>();
}

std::string Members::one_of(const std::string& name, const std::vector<std::string>& accepted) const {
  const Json& value = at(name);
  const bool fits = value.is_string() &&
                    std::find(accepted.begin(), accepted.end(), value.get<std::string>()) != accepted.end();
  if (!fits) refuse(name, value, join(accepted));
  return value.get<std::string>();
}

std::vector<std::string> Members::texts(const std::string& name, size_t most) const {
  const Json& value = at(name);
  const bool fits = value.is_array() && value.size() <= most &&
                    std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_string(); });
  if (!fits) refuse(name, value, fmt::format("a list of at most {} strings", most));
  return value.get<std::vector<std::string>>();
}

void Members::not_both(const char* one, const char* other) const {
  if (!has(one) || !has(other)) return;
  const std::string message = fmt::format("{} and {} are both given; accepted: one of them", one, other);
  throw Problem(422, "invalid_request", message,
                {{fmt::format("{}/{}", pointer_, other), "conflict", message, nullptr, nullptr}});
}

std::vector<std::string> Members::ids(const std::string& name) const {
  constexpr size_t kMost = 1024;
  const Json& value = at(name);
  const char* accepted = "a list of 1 to 1024 devices, each an index, a uuid or a name (gpu:0, cpu:1)";
  if (!value.is_array() || value.empty() || value.size() > kMost) refuse(name, value, accepted);
  std::vector<std::string> ids;
  for (const Json& id : value) {
    if (id.is_string()) {
      ids.push_back(id.get<std::string>());
    } else if (id.is_number_integer()) {
      ids.push_back(id.dump());
    } else {
      refuse(name, value, accepted);
    }
  }
  return ids;
}

}  // namespace saemill::api
