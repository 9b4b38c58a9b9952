import type { Page } from "@playwright/test";
import { gpu_uuid } from "./machine";
import { expect, test } from "./fixture";

const cards = (page: Page) => page.locator("#devices > li");

test("a machine of eight", async ({ page, serve }) => {
  const server = await serve({ gpus: 8 });
  Object.assign(server.scenario.gpus[2]!,
    { utilization: 97, memory_used: 60 * 2 ** 30, processes: [{ pid: process.pid, memory_used: 60 * 2 ** 30 }] });
  server.write_scenario();
  await server.open(page);
  await expect(cards(page).nth(2)).toContainText("foreign");
  await expect(cards(page).nth(2)).toContainText("60.0 GiB of 139.7 GiB");
  await expect(page.getByRole("application")).toHaveCount(0);
  await server.look_at(page, "per-gpu");
  server.scenario.events = [{ at_s: 0, gpu: 5, lost: true }];
  server.write_scenario();
  await expect(cards(page).nth(5)).toContainText("lost");
  await page.getByRole("radio", { name: "Aggregated" }).check();
  await expect(page.locator(".chips")).toContainText("lost1");
  await server.look_at(page, "aggregated");
  await page.reload(); // the choice is kept
  await expect(page.getByText("Busiest device")).toBeVisible();
});

test("no device", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 0 });
  await server.open(page);
  await expect(page.getByRole("main")).toContainText("--cpu-slots N");
  await server.look_at(page, "devices-0");
});

test("one device", async ({ page, serve }) => {
  const server = await serve({ gpus: 1 });
  await server.open(page);
  await expect(cards(page)).toHaveCount(1);
  await server.look_at(page, "devices-1");
});

test("sixteen devices have a heat map, filled from before the page was opened", async ({ page, serve }) => {
  const server = await serve({ gpus: 16 });
  for (const [i, gpu] of server.scenario.gpus.entries()) Object.assign(gpu, { utilization: 6 * i, temperature: 30 + 3 * i });
  server.write_scenario();
  await expect.poll(async () => (await server.get<{ time: number[] }>("system/gpus/0/history?buckets=3600")).time.length).toBeGreaterThan(12);
  await server.open(page);
  await expect(cards(page)).toHaveCount(16);
  const map = page.getByRole("application", { name: /^Utilization of 16 devices/ });
  const readout = page.locator("#heat-readout");
  await map.focus();
  await map.press("End");
  await map.press("ArrowDown");
  await map.press("ArrowDown");
  await expect(readout).toHaveText(/^GPU 2, \d\d:\d\d:\d\d: 12 %$/);
  await map.press("ArrowLeft");
  await map.press("ArrowLeft"); // 10 s ago the page was not open
  await expect(readout).toHaveText(/^GPU 2, \d\d:\d\d:\d\d: \d+ %$/);
  await map.press("Home");
  await expect(readout).toHaveText(/: –$/);
  await page.getByRole("radio", { name: "Temperature" }).check();
  await page.getByRole("application", { name: /^Temperature/ }).hover({ position: { x: 5, y: 24 * 3 + 10 } });
  await expect(readout).toHaveText(/^GPU 3, .*: –$/);
  await server.look_at(page, "devices-16");
  await page.locator(".heat-rows").getByRole("link", { name: "GPU 9" }).click();
  await expect(page).toHaveURL(new RegExp(`#/devices/${gpu_uuid(9)}`));
});

// As a machine that trained for long: waves, each device its own, and a minute of which nothing is known.
function history_of(uuid: string, from: number) {
  const time = Array.from({ length: 180 }, (_, i) => Math.floor(from / 5) * 5 + 5 * i).filter((_, i) => i < 60 || i >= 72);
  const phase = Number.parseInt(uuid.slice(4, 12), 16);
  const columns = (least: number, greatest: number) => {
    const mean = time.map((at) => least + ((greatest - least) * (1 + Math.sin(at / 40 + phase / 3))) / 2);
    return { min: mean, mean, max: mean };
  };
  return {
    uuid, bucket_s: 5, time, job: time.map(() => null),
    utilization: columns(5 * phase, 100), memory_used: columns(2e10, 1.2e11), temperature: columns(35, 60 + phase),
    power_draw: columns(90, 500 + 10 * phase),
  };
}

test("a quarter of an hour of sixteen devices", async ({ page, serve }) => {
  const server = await serve({ gpus: 16 });
  server.scenario.events = [{ at_s: 0, gpu: 11, lost: true }];
  server.write_scenario();
  await page.route(/\/history\?/, (route) => {
    const url = new URL(route.request().url());
    return route.fulfill({ json: history_of(url.pathname.split("/").at(-2) ?? "", Number(url.searchParams.get("from"))) });
  });
  await server.open(page);
  await expect(page.locator(".heat-rows")).toContainText("GPU 11, lost");
  await page.getByRole("application").hover({ position: { x: 100, y: 24 * 3 + 10 } });
  await expect(page.locator("#heat-readout")).toHaveText(/^GPU 3, .*: \d+ %$/);
  await server.look_at(page, "devices-16-long");
  await page.getByRole("radio", { name: "Aggregated" }).check();
  await server.look_at(page, "aggregated-long");
});

test("a restart of the server is survived", async ({ page, serve }) => {
  const server = await serve({ gpus: 2 });
  server.expect_problem("ERR_CONNECTION_");
  server.expect_problem("WebSocket connection");
  await server.open(page);
  await expect(cards(page)).toHaveCount(2);
  await page.waitForLoadState("networkidle"); // until it has all of its pages
  await server.stop();
  await expect(page.locator("#state")).toHaveText("Connection lost; trying again");
  await expect(cards(page)).toHaveCount(2);
  await page.locator("#devices").getByRole("link", { name: "GPU 0" }).click(); // the page can still be used
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("GPU 0");
  server.scenario.gpus[0]!.utilization = 88;
  server.write_scenario();
  await server.start();
  await expect(page.locator("#state")).toHaveText("Live: 2 devices");
  const figure = page.getByRole("figure", { name: /^Utilization/ });
  await expect(figure).toContainText("88");
  server.scenario.gpus[0]!.utilization = 77;
  server.scenario.events = [{ at_s: 0, gpu: 0, xid: 79 }];
  server.write_scenario();
  await expect(figure).toContainText("77");
  await expect(page.getByRole("main").locator(".title-row").first()).toContainText("unhealthy");
  await expect(page.getByRole("button", { name: /^Events, \d unread/ })).toBeVisible();
});

test("a page that could not be loaded says so, and can be loaded again", async ({ page, serve }) => {
  const server = await serve({ gpus: 1 });
  for (const words of ["ERR_FAILED", "dynamically imported module", "preload", "422"]) server.expect_problem(words);
  await server.open(page, "#/new");
  const its_code = "**/assets/new_training-*.js";
  await page.route(its_code, (route) => route.abort());
  await page.reload();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("This page could not be shown");
  await server.look_at(page, "not-shown");
  await page.getByRole("navigation").getByRole("link", { name: "System" }).click();
  await expect(cards(page)).toHaveCount(1); // the others are there
  await page.getByRole("navigation").getByRole("link", { name: "New training" }).click();
  await page.unroute(its_code);
  await page.getByRole("button", { name: "Load it again" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("New training");
});

test("the theme is kept", async ({ page, serve }) => {
  const server = await serve({ gpus: 1 });
  await server.open(page);
  const shades = new Set<string>();
  for (const theme of ["light", "dark"]) {
    await page.getByLabel("Theme").selectOption(theme);
    await expect(page.locator("html")).toHaveAttribute("data-theme", theme);
    shades.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  }
  expect(shades.size).toBe(2);
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
});
