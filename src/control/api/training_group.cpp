#include "control/api/training_group.h"

#include <algorithm>

#include "common/protocol/run_config.h"

namespace saemill::api {
namespace {

struct Axis {
  Json::json_pointer place;  // in the configuration
  std::string key;           // "train.lr"
  Json values;
};

void find_axes(const Json& tree, const Json::json_pointer& place, const std::string& key,
               std::vector<Axis>& axes) {
  if (tree.is_array()) axes.push_back({place, key, tree});
  if (!tree.is_object()) return;
  for (const auto& [name, value] : tree.items())
    find_axes(value, place / name, key.empty() ? name : key + "." + name, axes);
}

// As what is wrong with a configuration is told: by its keys, however they were nested.
std::string pointer_of(const Axis& axis) {
  std::string pointer = "/config/" + axis.key;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  return pointer;
}

[[noreturn]] void refuse(const std::string& pointer, const std::string& message,
                         const std::string& accepted) {
  throw Problem(422, "invalid_config", message, {{pointer, "invalid_value", message, nullptr, accepted}});
}

size_t combinations(const std::vector<Axis>& axes) {
  size_t count = 1;
  for (const Axis& axis : axes) {
    if (axis.values.empty())
      refuse(pointer_of(axis),
             fmt::format("{} is an empty list; accepted: a value, or a list of 1 to {}",
                         axis.key.substr(0, 100), kMostInGroup),
             fmt::format("a value, or a list of 1 to {}", kMostInGroup));
    count *= axis.values.size();
    if (count > kMostInGroup)
      refuse(pointer_of(axis),
             fmt::format("the lists of this configuration make more than {} trainings", kMostInGroup),
             fmt::format("lists with at most {} combinations", kMostInGroup));
  }
  return count;
}

// "lr" of "train.lr", unless another key that varies ends so too.
std::string short_key(const std::vector<Axis>& axes, const std::string& key) {
  const auto last = [](const std::string& full) { return full.substr(full.rfind('.') + 1); };
  const auto same =
      std::count_if(axes.begin(), axes.end(), [&](const Axis& axis) { return last(axis.key) == last(key); });
  return same > 1 ? key : last(key);
}

// As it stands in the name. Of a long one the end, where paths differ.
std::string shown(const Json& value) {
  constexpr size_t kLongest = 40;
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.size() <= kLongest) return text;
  size_t begin = text.size() - kLongest;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
  return "..." + text.substr(begin);
}

// The name and what tells this member from the others.
void set_name(GroupMember& member, const std::vector<Axis>& axes) {
  std::string suffix;
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i].values.size() > 1 && axes[i].key != "name")
      suffix +=
          fmt::format(" {}={}", short_key(axes, axes[i].key), shown(axes[i].values[member.chosen[i].index]));
  const Json name = member.config.value("name", Json(RunConfig().name));
  if (name.is_string()) member.config["name"] = name.get<std::string>() + suffix;
}

}  // namespace

std::vector<GroupMember> expand_group(const Json& config) {
  std::vector<Axis> axes;
  find_axes(config, Json::json_pointer(), "", axes);
  if (axes.empty() || config.is_array()) return {{config, {}}};
  const size_t count = combinations(axes);
  std::vector<GroupMember> members;
  for (size_t i = 0; i < count; ++i) {
    GroupMember member{config, {}};
    size_t block = count;
    for (const Axis& axis : axes) {
      block /= axis.values.size();
      const size_t index = i / block % axis.values.size();
      member.config[axis.place] = axis.values[index];
      member.chosen.push_back({pointer_of(axis), index});
    }
    set_name(member, axes);
    members.push_back(std::move(member));
  }
  return members;
}

Problem problem_of_member(const Problem& problem, const GroupMember& member) {
  std::vector<FieldError> errors = problem.errors();
  for (FieldError& error : errors) {
    for (const auto& [pointer, index] : member.chosen) {
      const bool inside = error.pointer.starts_with(pointer + "/");
      if (error.pointer == pointer || inside)
        error.pointer = fmt::format("{}/{}{}", pointer, index, error.pointer.substr(pointer.size()));
    }
  }
  Problem told(problem.status(), problem.code(), problem.what(), std::move(errors));
  told.more = problem.more;
  told.headers = problem.headers;
  return told;
}

}  // namespace saemill::api
