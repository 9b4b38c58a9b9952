// Many trainings by one request: a key of the configuration that is given a list stands for each of its
// values, and several of them for every combination.
#pragma once

#include <string>
#include <vector>

#include "control/api/http.h"
#include "control/api/problem.h"

namespace saemill::api {

inline constexpr size_t kMostInGroup = 256;

struct GroupMember {
  Json config;  // every list in it replaced by one of its values, and told in `name`: "sae lr=0.001 k=32"
  struct Chosen {
    std::string pointer;  // "/config/train/lr"
    size_t index = 0;
  };
  std::vector<Chosen> chosen;
};

// In the order of the configuration, the first key slowest; without lists: the configuration itself. Problem
// 422 invalid_config: an empty list, or more than kMostInGroup combinations.
std::vector<GroupMember> expand_group(const Json& config);

// What is wrong with one member, in terms of the request: "/config/train/lr" becomes "/config/train/lr/1".
Problem problem_of_member(const Problem& problem, const GroupMember& member);

}  // namespace saemill::api
