// 16 GPUs once a second and 10 runs with 10 lines of metrics a second: the page's share of a core, and its memory after
// forced collections. Speed is printed, not judged.
import type { Browser, CDPSession, Page } from "@playwright/test";
import { expect, test } from "../e2e/fixture";
import { eventually } from "../e2e/server";

const MINUTES = Number(process.env["MINUTES"] ?? 15);
// {N}: the id of a run.
const PLACES = (process.env["PLACES"] ?? "#/ #/trainings #/trainings/{0} #/compare?ids={0},{1},{2},{3}").split(" ");
const RUNS = 10;
const PERIOD_S = 0.1;
const LOOKS = 6; // at the memory, over the time at a place
const FOREVER = 10_000_000;

const script = {
  attempts: [{ "0": [
    { say: { event: "started", step: 0, plan: { mode: "replicate" } } },
    { learn: { lines: FOREVER, period: PERIOD_S, steps: 10 } },
    { exit: 0 },
  ] }],
};

interface Process {
  type: string;
  cpuTime: number; // s
}

async function cpu_seconds(browser: Browser): Promise<Record<string, number>> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = (await session.send("SystemInfo.getProcessInfo")) as { processInfo: Process[] };
  await session.detach();
  const sums: Record<string, number> = {};
  for (const { type, cpuTime } of processInfo) sums[type] = (sums[type] ?? 0) + cpuTime;
  return sums;
}

async function memory(session: CDPSession): Promise<{ heap: number; nodes: number }> {
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  const { nodes } = await session.send("Memory.getDOMCounters");
  return { heap: usedSize / 2 ** 20, nodes };
}

async function stay_at(page: Page, browser: Browser, place: string): Promise<void> {
  await page.evaluate((hash) => void (location.hash = hash), place);
  await page.waitForTimeout(5000);
  const session = await page.context().newCDPSession(page);
  const lines: string[] = [];
  const began = { cpu: await cpu_seconds(browser), at: Date.now() };
  for (let look = 0; look <= LOOKS; ++look) {
    if (look > 0) await page.waitForTimeout((MINUTES * 60_000) / LOOKS);
    const { heap, nodes } = await memory(session);
    lines.push(`${heap.toFixed(1)} MiB/${nodes}`);
  }
  await session.detach();
  const seconds = (Date.now() - began.at) / 1000;
  const ended = await cpu_seconds(browser);
  const shares = Object.keys(ended).sort()
    .map((type) => `${type} ${((100 * ((ended[type] ?? 0) - (began.cpu[type] ?? 0))) / seconds).toFixed(1)} %`);
  console.log(`${place}: ${seconds.toFixed(0)} s; of a core: ${shares.join(", ")}; heap/nodes: ${lines.join(", ")}`);
}

test("what the page costs", async ({ page, browser, serve }) => {
  const server = await serve({ gpus: 16, script, period: 1 });
  let lines = 0;
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => (lines += String(payload).split('"training:progress"').length - 1)));
  const ids: string[] = [];
  for (let run = 0; run < RUNS; ++run) ids.push((await server.submit(server.config({ name: `run ${run}`, steps: FOREVER * 10 }))).id);
  for (const id of ids) await eventually(async () => (await server.training(id)).current_step > 0);
  await server.open(page);
  for (const place of PLACES.map((one) => one.replace(/\{(\d)\}/g, (_, run: string) => ids[Number(run)] ?? ""))) {
    lines = 0;
    const began = Date.now();
    await stay_at(page, browser, place);
    console.log(`  lines of metrics a second: ${((1000 * lines) / (Date.now() - began)).toFixed(1)}`);
  }
  expect(await page.locator("#state").textContent()).toMatch(/^Live/);
});
