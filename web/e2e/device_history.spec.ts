// A device's page over hours, days and weeks, of a server that has measured for a month and was off now and then.
import type { Page } from "@playwright/test";
import { expect, type PageServer, test } from "./fixture";
import { gpu_uuid } from "./machine";
import { DAY, HOUR, month_of, store } from "./stored_history";

// Local days begin in the middle of UTC's hours.
test.use({ timezoneId: "Asia/Kolkata" });

const figure = (page: Page, title: string) => page.getByRole("figure", { name: new RegExp(`^${title}`) });

async function measured(server: PageServer): Promise<void> {
  const held = await Promise.all(["long ago", "last week", "of today"].map((name) => server.submit(server.config({ name }), { hold: true })));
  await server.stop();
  const now = Math.floor(Date.now() / 1000);
  const at = ([from, to]: readonly [number, number], i: number) => ({ job: held[i]!.id, from, to });
  const rows = month_of({
    now,
    off: [[20 * DAY, 18 * DAY], [3 * DAY, 3 * DAY - 14 * HOUR], [4 * HOUR, 3 * HOUR]],
    held: ([[26 * DAY, 22 * DAY], [6 * DAY, 2 * DAY], [10 * HOUR, 0.5 * HOUR]] as const).map(at),
    hot: 12 * DAY,
  });
  store(server.data, rows, [[now - 12 * DAY, 2, "xid", gpu_uuid(0), "XID 79: the GPU has fallen off the bus"],
    [now - 2 * HOUR, 1, "throttled", gpu_uuid(0), "Its clocks are held down: hw thermal"]]);
  await server.start();
}

// The rows of a figure's file: its times, and whether anything was measured.
async function points(page: Page, title: string): Promise<{ time: number; mean: string; max: number }[]> {
  const saved = page.waitForEvent("download");
  await figure(page, title).getByRole("button", { name: /^Download/ }).click();
  const stream = await (await saved).createReadStream();
  let text = "";
  for await (const part of stream) text += part;
  const rows = text.trim().split("\r\n").slice(1).map((line) => line.split(","));
  return rows.map(([time, mean, , max]) => ({ time: Date.parse(time!) / 1000, mean: mean!, max: Number(max) }));
}

test("hours, days and weeks", async ({ page, serve }) => {
  const server = await serve({ gpus: 1 });
  await measured(server);
  await server.open(page, `#/devices/${gpu_uuid(0)}`);
  const jobs = page.locator(".job-list > li");
  const SEEN = [
    { words: "6 h", bucket_s: 60, gap_s: HOUR, jobs: ["of today", "of today"] },
    { words: "24 h", bucket_s: 300, gap_s: HOUR, jobs: ["of today", "of today"] },
    { words: "7 d", bucket_s: 1800, gap_s: 14 * HOUR, jobs: ["of today", "of today", "last week", "last week"] },
    { words: "30 d", bucket_s: 7200, gap_s: 2 * DAY, jobs: ["of today", "last week", "last week", "long ago"] },
  ];
  for (const { words, bucket_s, gap_s, jobs: names } of SEEN) {
    await page.getByRole("radio", { name: words, exact: true }).click();
    await expect(page.getByRole("radio", { name: words, exact: true })).toBeChecked();
    await expect(figure(page, "Temperature")).toBeVisible();
    await expect(jobs.getByRole("link")).toHaveText(names);
    const found = await points(page, "Temperature");
    const distances = found.slice(1).map(({ time }, i) => time - found[i]!.time);
    expect(Math.min(...distances), words).toBeLessThanOrEqual(bucket_s);
    expect(Math.max(...distances), words).toBeGreaterThan(gap_s - 2.5 * bucket_s);
    // No line goes over the time in which the server was off.
    const before = distances.indexOf(Math.max(...distances));
    expect(found[before]?.mean, words).toBe("");
    for (const one of await page.getByRole("figure").all()) await one.scrollIntoViewIfNeeded(); // what was not seen is not drawn
    await page.evaluate(() => scrollTo(0, 0));
    await server.look_at(page, `device-${words.replace(" ", "")}`);
  }
  // The minute at 93 °C is in the band of two hours.
  await expect(figure(page, "Temperature").locator(".values")).toContainText("to 93");
  await expect(figure(page, "Temperature").getByRole("list", { name: "Events" })).toContainText("XID 79");

  // Looked at closer, it is a few minutes.
  const over = figure(page, "Temperature").locator(".u-over");
  await over.scrollIntoViewIfNeeded();
  const box = (await over.boundingBox())!;
  const finer = page.waitForResponse((answer) => answer.url().includes("/history?"));
  await page.mouse.move(box.x + (17.6 / 30) * box.width, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + (18.4 / 30) * box.width, box.y + box.height / 2);
  await page.mouse.up();
  expect(((await (await finer).json()) as { bucket_s: number }).bucket_s).toBeLessThanOrEqual(300);
  await expect.poll(async () => {
    const found = await points(page, "Temperature");
    const hot = found.findIndex(({ max }) => max === 93);
    return found[hot + 1]!.time - found[hot]!.time;
  }).toBeLessThanOrEqual(300);
  await server.look_at(page, "device-closer");
});
