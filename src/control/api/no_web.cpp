// The page of a build without the web application: the devices, and what the server can be asked.
#include <array>

#include "control/api/assets.h"

namespace saemill::api {
namespace {

constexpr std::string_view kIndex = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>saemill</title><link rel="stylesheet" href="/plain.css"></head>
<body><main><h1>saemill</h1>
<p id="state" role="status">Connecting …</p>
<table hidden><caption>Devices</caption>
<thead><tr><th scope="col">device</th><th scope="col">state</th><th scope="col">utilization</th><th scope="col">memory</th></tr></thead>
<tbody id="devices"></tbody></table>
<h2>Endpoints</h2><ul id="endpoints"></ul>
<p><a href="/api/v1/openapi.json">openapi.json</a> describes all of them.</p>
<p>This program was built without the web application. To get it, install npm (<code>scripts/install-packages</code> does), then configure and build again.</p>
</main><script src="/index.js"></script></body></html>
)";

constexpr std::string_view kIndexScript = R"("use strict";
const state = document.getElementById("state");
const gib = (bytes) => (bytes / 2 ** 30).toFixed(1) + " GiB";
function show({ gpus }) {
  const rows = gpus.map((gpu) => {
    const row = document.createElement("tr");
    const memory = gpu.memory_total ? `${gib(gpu.memory_used ?? 0)} of ${gib(gpu.memory_total)}` : "";
    const utilization = gpu.utilization === undefined ? "" : gpu.utilization.toFixed(0) + " %";
    for (const text of [`${gpu.index} ${gpu.name}`, gpu.availability, utilization, memory])
      row.appendChild(document.createElement("td")).textContent = text;
    return row;
  });
  document.getElementById("devices").replaceChildren(...rows);
  document.querySelector("table").hidden = false;
}
function connect() {
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws");
  socket.onopen = () => socket.send(JSON.stringify({ op: "subscribe", channel: "system/gpus" }));
  socket.onmessage = ({ data }) => {
    for (const message of [JSON.parse(data)].flat())
      if (message.event === "system:metrics") {
        show(message.data);
        state.textContent = "Live: " + message.data.gpu_count + " devices";
      }
  };
  socket.onclose = () => { state.textContent = "Connection lost; trying again"; setTimeout(connect, 2000); };
}
async function start() {
  const answer = await fetch("/api/v1/openapi.json");
  if (answer.status === 401) { location.replace("/login"); return; }
  const { paths } = await answer.json();
  for (const [path, methods] of Object.entries(paths))
    for (const [method, { summary }] of Object.entries(methods)) {
      const item = document.createElement("li");
      item.appendChild(document.createElement("code")).textContent = method.toUpperCase() + " " + path;
      item.append(" " + summary);
      document.getElementById("endpoints").append(item);
    }
  show(await (await fetch("/api/v1/system/gpus")).json());
  connect();
}
start();
)";

constexpr std::string_view kHtml = "text/html; charset=utf-8";
constexpr std::string_view kScript = "text/javascript; charset=utf-8";

constexpr std::array<Asset, 3> kAssets{
    {{"/", kHtml, kIndex}, {"/index.html", kHtml, kIndex}, {"/index.js", kScript, kIndexScript}}};

}  // namespace

std::span<const Asset> page_assets() {
  return kAssets;
}

}  // namespace saemill::api
