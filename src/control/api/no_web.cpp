// The pages of a build without the web application: how to sign in, and what there is.
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

constexpr std::string_view kLogin = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Sign in to saemill</title><link rel="stylesheet" href="/plain.css"></head>
<body><main><h1>Sign in to saemill</h1>
<p>Run <code>saemill login</code> where the server runs and open the link that it prints, or paste the token, which is in the file <code>token</code> of the server's data folder.</p>
<form id="form"><label>Token <input id="token" type="password" autocomplete="current-password" required></label> <button>Sign in</button></form>
<p id="state" role="alert"></p>
</main><script src="/login.js"></script></body></html>
)";

constexpr std::string_view kLoginScript = R"("use strict";
const state = document.getElementById("state");
if (new URLSearchParams(location.search).has("code"))
  state.textContent = "This link was used already, or is older than ten minutes.";
document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/api/v1/session", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: document.getElementById("token").value.trim() }),
  });
  if (answer.ok) location.replace("/");
  else state.textContent = (await answer.json()).detail;
});
)";

constexpr std::string_view kStyle =
    R"(:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; } main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; font-weight: 600; }
td, th { text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
input, button { font: inherit; padding: .25rem .5rem; } ul { padding-left: 1.2rem; }
)";

constexpr std::string_view kHtml = "text/html; charset=utf-8";
constexpr std::string_view kScript = "text/javascript; charset=utf-8";

constexpr std::array<Asset, 6> kAssets{{{"/", kHtml, kIndex},
                                        {"/index.html", kHtml, kIndex},
                                        {"/index.js", kScript, kIndexScript},
                                        {"/login.html", kHtml, kLogin},
                                        {"/login.js", kScript, kLoginScript},
                                        {"/plain.css", "text/css; charset=utf-8", kStyle}}};

}  // namespace

std::span<const Asset> assets() {
  return kAssets;
}

const Asset* find_asset(std::string_view path) {
  for (const Asset& asset : assets())
    if (asset.path == path) return &asset;
  return nullptr;
}

}  // namespace saemill::api
