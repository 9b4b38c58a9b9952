// From a request to its answer: the route, the body, the idempotency key, the endpoint, the ETag. Never
// throws.
#pragma once

#include "control/api/route.h"

namespace saemill::api {

inline constexpr size_t kMaxBody = size_t{1} << 20;

HttpResponse dispatch(Services& services, const HttpRequest& request);

// What net must know of a request before it reads a body: who may ask, and where the work goes. A path
// without a route counts as signed_in below /api, so that strangers learn nothing of what exists, and as open
// elsewhere.
struct Disposition {
  Route::Access access = Route::Access::signed_in;
  Route::Work work = Route::Work::quick;
};
Disposition disposition(const std::string& method, const std::string& target);

}  // namespace saemill::api
