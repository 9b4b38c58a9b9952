// The configuration of a training with some keys changed: what "the same again, but" means for values that
// were derived from others when it was resolved.
#pragma once

#include <map>
#include <string>

#include "control/api/http.h"
#include "control/api/problem.h"

namespace saemill::api {

struct MergedConfig {
  Json config;
  std::map<std::string, std::string>
      given;  // "train.lr" -> where the request says so ("/overrides/train/lr")
};

// `resolved` as it is stored. `overrides`: an object of full keys, or the tree of a configuration, or both. A
// value that was derived is derived anew where what it came from changes. Problem 422 invalid_request: it is
// no object, or gives a key twice.
MergedConfig merge_config(const Json& resolved, const Json& overrides);

// What is wrong with the merged configuration, in terms of the request.
Problem problem_of_merge(const Problem& problem, const MergedConfig& merged);

}  // namespace saemill::api
