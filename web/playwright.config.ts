// The page in Debian's Chromium against the real server: see e2e/fixture.ts.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "@playwright/test";

// Chromium takes a page that a test answers (SAEMILL_PAGE) for one from elsewhere, whose WebSocket it would refuse.
const OWN_PAGE = process.env["SAEMILL_PAGE"] ? ["--disable-features=LocalNetworkAccessChecks"] : [];

export default defineConfig({
  testDir: "e2e",
  outputDir: join(process.env["SAEMILL_PICTURES"] ?? tmpdir(), "failures"),
  workers: 1,
  // The machine may be busy, and a picture is taken of each page four times.
  timeout: 180_000,
  expect: { timeout: 30_000 },
  reporter: "list",
  use: {
    viewport: { width: 1440, height: 900 },
    actionTimeout: 30_000,
    launchOptions: { executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", ...OWN_PAGE] },
  },
});
