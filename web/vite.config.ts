import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// npm run dev: SAEMILL_SERVER=http://127.0.0.1:PORT SAEMILL_TOKEN=... names a running server.
const server = process.env["SAEMILL_SERVER"] ?? "http://127.0.0.1:8750";
const to_server = {
  target: server,
  ws: true,
  changeOrigin: true,
  headers: { Origin: server, Authorization: `Bearer ${process.env["SAEMILL_TOKEN"] ?? ""}` },
};

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    // The server's Content-Security-Policy takes nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: { include: ["tests/*.test.ts"] },
  server: { proxy: { "/api": to_server, "/ws": to_server } },
});
