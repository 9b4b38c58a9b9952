// Endpoints: how a browser gets its session.
#include "common/base/clock.h"
#include "control/api/assets.h"
#include "control/api/endpoints.h"
#include "control/api/problem.h"

namespace saemill::api {
namespace {

HttpResponse login_page(int status) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/html; charset=utf-8";
  response.body = find_asset("/login.html")->body;
  return response;
}

}  // namespace

HttpResponse get_login(Services& services, const Request& request) {
  const auto code = request.text("code");
  if (!code || request.head_only) return login_page(200);
  const auto session = services.auth->redeem(*code);
  if (!session) return login_page(401);
  HttpResponse response;
  response.status = 303;
  response.content_type.clear();
  response.headers = {{"Location", "/"},
                      {"Set-Cookie", services.auth->set_cookie(session->secret, kSessionSeconds)}};
  return response;
}

HttpResponse new_session(Services& services, const Request& request) {
  const Members members(request.body, {"token"});
  if (!services.auth->token_matches(members.text("token")))
    throw Problem(401, "unauthorized", "this is not the server's token; it is in DATA/token");
  const Session session = services.auth->open_session();
  HttpResponse response =
      json_response({{"expires_at", utc_time(static_cast<double>(session.expires_at))}}, 201);
  response.headers.emplace_back("Set-Cookie", services.auth->set_cookie(session.secret, kSessionSeconds));
  return response;
}

HttpResponse end_session(Services& services, const Request& request) {
  if (!request.session.empty()) services.auth->close_session(request.session);
  HttpResponse response;
  response.status = 204;
  response.content_type.clear();
  response.headers.emplace_back("Set-Cookie", services.auth->set_cookie("", 0));
  return response;
}

HttpResponse new_login_code(Services& services, const Request&) {
  const std::string code = services.auth->new_code();
  return json_response({{"code", code}, {"expires_at", utc_time(epoch_seconds() + kCodeSeconds)}}, 201);
}

}  // namespace saemill::api
