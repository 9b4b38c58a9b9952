#include "control/api/problem.h"

#include "common/base/log.h"

namespace saemill::api {
namespace {

const char* title_of(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 503:
      return "Service Unavailable";
    default:
      return status >= 500 ? "Internal Server Error" : "Error";
  }
}

Json to_json(const FieldError& error) {
  Json json{{"pointer", error.pointer}, {"code", error.code}, {"message", error.message}};
  if (!error.value.is_null()) json["value"] = error.value;
  if (!error.accepted.is_null()) json["accepted"] = error.accepted;
  return json;
}

}  // namespace

HttpResponse problem_response(const Problem& problem) {
  Json errors = Json::array();
  for (const FieldError& error : problem.errors()) errors.push_back(to_json(error));
  Json json{{"title", title_of(problem.status())},
            {"status", problem.status()},
            {"detail", problem.what()},
            {"code", problem.code()},
            {"errors", std::move(errors)}};
  json.update(problem.more);
  HttpResponse response = json_response(json, problem.status());
  response.content_type = "application/problem+json";
  response.headers = problem.headers;
  return response;
}

Problem problem_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::usage:
    case ErrorCode::bad_data:
      return {422, "invalid_request", error.what()};
    case ErrorCode::bad_config:
      return {422, "invalid_config", error.what()};
    case ErrorCode::cancelled:  // the server is told to go
    case ErrorCode::retry: {
      Problem problem(503, "unavailable", error.what());
      problem.headers.emplace_back("Retry-After", "2");
      return problem;
    }
    default:
      log_line(LogLevel::error, error.what());
      return {500, "internal", "an error inside the server; its log tells more"};
  }
}

}  // namespace saemill::api
