// The table of all endpoints. Adding one is a function, a row here, and an entry in openapi.json.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/api/request.h"
#include "control/api/services.h"

namespace saemill::api {

using Endpoint = HttpResponse (*)(Services&, const Request&);

struct Route {
  enum class Access {
    open,       // neither session nor token
    signed_in,  // either
    token,      // the token: a session is not enough
  };
  enum class Work {
    quick,  // answers from memory, in microseconds
    slow,   // asks the store or another program: on the pool
  };
  const char* method;
  const char* pattern;             // "/api/v1/system/gpus/{id}"
  std::vector<const char*> query;  // names of parameters; others are refused
  Endpoint endpoint;
  Work work = Work::quick;
  Access access = Access::signed_in;
};

std::span<const Route> route_table();

// The row that a path belongs to, with what stands in its braces. Null: there is none, or not for this
// method, and then `allowed` names the methods that there are.
struct Match {
  const Route* route = nullptr;
  std::map<std::string, std::string> path;
  std::string allowed;
};
Match match(const std::string& method, const Target& target);

}  // namespace saemill::api
