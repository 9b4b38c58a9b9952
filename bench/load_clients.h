// Many live clients and some requests, in a process of their own, for bench/serve_load.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace saemill {

struct LoadOptions {
  int port = 0;
  std::string token, events_channel;
  int clients = 1000;
  double seconds = 60, requests_per_second = 200;
};

// {clients, ticks, events, lost, out_of_order, closed, event_ms{p50, p99, max}, requests, failed,
// request_ms{...}}. An event's data is {sent: monotonic seconds}.
nlohmann::ordered_json run_load(const LoadOptions& options);

}  // namespace saemill
