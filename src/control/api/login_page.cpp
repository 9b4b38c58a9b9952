// How to sign in: the one page that needs no session, whether or not there is a web application.
#include <array>

#include "control/api/assets.h"

namespace saemill::api {
namespace {

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

constexpr std::array<Asset, 3> kAssets{{{"/login.html", "text/html; charset=utf-8", kLogin},
                                        {"/login.js", "text/javascript; charset=utf-8", kLoginScript},
                                        {"/plain.css", "text/css; charset=utf-8", kStyle}}};

}  // namespace

std::span<const Asset> login_assets() {
  return kAssets;
}

const Asset* find_asset(std::string_view path) {
  for (const std::span<const Asset> assets : {page_assets(), login_assets()})
    for (const Asset& asset : assets)
      if (asset.path == path) return &asset;
  return nullptr;
}

}  // namespace saemill::api
