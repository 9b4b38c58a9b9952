import type { Page } from "@playwright/test";
import { eventually, expect, type PageServer, test } from "./fixture";

const CPU = { gpus: 0, cpu_slots: 2 };
const ENDLESS = 1_000_000;

const figure = (page: Page, title: string) => page.getByRole("figure", { name: title, exact: false }).first();
const values = (page: Page, title: string) => figure(page, title).locator(".values > :first-child");
const readout = (page: Page, title: string) => figure(page, title).locator(".readout");

// A chart that is made anew at that moment is looked for again.
async function hover(page: Page, title: string, part: number): Promise<void> {
  await expect(async () => {
    const over = figure(page, title).locator(".u-over");
    await over.scrollIntoViewIfNeeded({ timeout: 2000 });
    const box = await over.boundingBox({ timeout: 2000 });
    if (box === null) throw new Error(`${title} is not drawn`);
    await page.mouse.move(box.x + part * box.width, box.y + box.height / 2);
  }).toPass();
}

// What a figure says while the cursor is there, on this one or on another. The page may still move under the mouse.
async function reads(page: Page, part: number, words: RegExp, title = "FVU"): Promise<void> {
  await expect(async () => {
    await hover(page, "FVU", part);
    await expect(readout(page, title)).toHaveText(words, { timeout: 1000 });
  }).toPass({ timeout: 30_000 });
}

async function drawn(page: Page, title: string): Promise<void> {
  await figure(page, title).scrollIntoViewIfNeeded();
  await expect(figure(page, title).locator(".u-over"), title).toBeAttached();
}

// From its top, with every chart drawn once: a picture is of more than a window.
async function look_at(server: PageServer, page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0);
  for (const one of await page.getByRole("figure").all()) await one.scrollIntoViewIfNeeded();
  await page.evaluate(() => scrollTo(0, 0));
  await server.look_at(page, name);
}

// The steps at both ends of what is shown.
async function shown(page: Page, title: string): Promise<[number, number]> {
  const step = async (part: number) => {
    await hover(page, title, part);
    return Number(/step ([\d,]+)/.exec((await readout(page, title).textContent()) ?? "")?.[1]?.replaceAll(",", ""));
  };
  return [await step(0.001), await step(0.999)];
}

async function measured(server: PageServer, id: string, step: number): Promise<void> {
  await eventually(async () => (await server.training(id)).current_step >= step);
}

test("charts appear, grow, and are looked at closer", async ({ page, serve }) => {
  const server = await serve(CPU);
  const { id } = await server.submit(server.config({ name: "shakespeare", steps: ENDLESS, checkpoint_every: 200, log_every: 5 }));
  await measured(server, id, 50);
  await server.open(page, `#/trainings/${id}`);
  await expect(values(page, "Loss")).toHaveText(/now [\d.]+ · from/);
  for (const title of ["FVU", "L0", "Dead latents", "Learning rate", "Gradient norm", "Speed", "Time of a step", "Utilization", "Memory in use"])
    await drawn(page, title);

  // It grows by itself, and its last step is the newest.
  const before = (await shown(page, "FVU"))[1];
  await expect.poll(async () => (await shown(page, "FVU"))[1]).toBeGreaterThan(before);

  // One cursor over all of them.
  await reads(page, 0.5, /^step [\d,]+ · .* latents/, "L0");
  await expect(figure(page, "Loss").getByRole("button", { name: "Squared error" }).locator("[data-value]")).toHaveText(/\d/);

  // Dragging zooms all of them, and ends following.
  const follow = page.getByRole("button", { name: "follow" });
  await expect(follow).toHaveAttribute("aria-pressed", "true");
  await hover(page, "FVU", 0.25);
  await page.mouse.down();
  await hover(page, "FVU", 0.6);
  await page.mouse.up();
  await expect(follow).toHaveAttribute("aria-pressed", "false");
  const [from, to] = await shown(page, "L0");
  expect(from).toBeGreaterThan(5);
  await measured(server, id, (await server.training(id)).current_step + 100);
  expect(await shown(page, "L0")).toEqual([from, to]);
  await page.getByRole("button", { name: "Later" }).click();
  await expect.poll(async () => (await shown(page, "L0"))[0]).toBeGreaterThan(from);
  await page.getByRole("button", { name: "Zoom out" }).click();
  await expect.poll(async () => ((await shown(page, "L0"))[1] ?? 0) - ((await shown(page, "L0"))[0] ?? 0)).toBeGreaterThan(to - from);
  await follow.click();
  await expect(follow).toHaveAttribute("aria-pressed", "true");
  expect((await shown(page, "L0"))[0]).toBe(5);

  // With Ctrl the wheel zooms under the cursor, with Shift dragging moves.
  await hover(page, "FVU", 0.5);
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, -300);
  await page.keyboard.up("Control");
  await expect(follow).toHaveAttribute("aria-pressed", "false");
  const [left] = await shown(page, "FVU");
  await hover(page, "FVU", 0.3);
  await page.keyboard.down("Shift");
  await page.mouse.down();
  await hover(page, "FVU", 0.6);
  await page.mouse.up();
  await page.keyboard.up("Shift");
  await expect.poll(async () => (await shown(page, "FVU"))[0]).toBeLessThan(left);
  await follow.click();

  // A double click follows, too.
  await page.getByRole("button", { name: "Zoom in" }).click();
  await expect(follow).toHaveAttribute("aria-pressed", "false");
  await figure(page, "FVU").locator(".u-over").dblclick();
  await expect(follow).toHaveAttribute("aria-pressed", "true");
  await look_at(server, page, "training-running");
});

test("smoothing, logarithms and hidden curves change what is drawn", async ({ page, serve }) => {
  const server = await serve(CPU);
  const { id } = await server.submit(server.config({ name: "short", steps: 300, checkpoint_every: 25, log_every: 5 }));
  await server.reach(id, "completed");
  await server.open(page, `#/trainings/${id}`);
  const slider = page.getByRole("slider", { name: "Smoothing" });
  await slider.focus();
  for (let i = 0; i < 9; i += 1) await page.keyboard.press("PageUp");
  await expect(slider).toHaveAttribute("aria-valuenow", "0.9");
  await reads(page, 0.5, /smoothed/);
  await slider.press("Home");

  for (const name of ["log x", "log y"]) {
    await page.getByRole("button", { name }).click();
    await expect(page.getByRole("button", { name })).toHaveAttribute("aria-pressed", "true");
  }
  // The middle of a logarithmic axis is no longer half of the steps.
  await reads(page, 0.5, /^step (35|40|45) /);
  await look_at(server, page, "training-logarithmic");
  await page.getByRole("button", { name: "log x" }).click();

  const aux = figure(page, "Loss").getByRole("button", { name: "Auxiliary loss" });
  await aux.click();
  await expect(aux).toHaveAttribute("aria-pressed", "false");

  // Events are named under the cursor, and listed for those who see none.
  await page.getByRole("button", { name: "log y" }).click();
  await reads(page, (150 - 5) / (300 - 5), /^step 150 · [\d.]+ · checkpoint after 150 steps$/);
  await page.getByRole("button", { name: "log y" }).click();
  await expect(figure(page, "FVU").getByRole("list", { name: "Events" })).toContainText("finished at step 300");

  await page.getByRole("radio", { name: "time" }).check();
  await reads(page, 0.5, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d · /);
  await expect(page.getByRole("button", { name: "log x" })).toHaveCount(0);
  await expect(page.getByRole("button", { name: "log y" })).toHaveAttribute("aria-pressed", "true");
  await page.getByRole("button", { name: "log y" }).click();
  await look_at(server, page, "training-by-time");

  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download FVU as CSV" }).click();
  const file = await saved;
  expect(file.suggestedFilename()).toBe("fvu.csv");

  // Closed groups are not drawn.
  await page.locator("summary", { hasText: "Learning" }).click();
  await expect(figure(page, "FVU")).toHaveCount(0);
});

const say = (event: string, more: object) => ({ say: { event, ...more } });
// Every hundredth step the ranks tell their own times, too.
const losses = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i).map((step) =>
    say("metrics", { step, values: { loss: step === 777 ? 99 : 2 }, ...(step % 100 === 0 && { ranks: { step_ms: [8, step / 100] } }) }));

// Two ranks on two GPUs: a spike that buckets must not lose, and times of each rank.
const SPIKE = {
  attempts: [
    {
      "0": [say("started", { step: 0, plan: {} }), ...losses(1, 1300), say("warning", { code: "x", message: "a loss far off" }),
        { beat_until: "TERM" },
        say("paused", { step: 1300 }), { exit: 130 }],
      "1": [{ beat_until: "TERM" }, { exit: 130 }],
    },
  ],
};

test("spikes are never lost, and devices are on the same axis", async ({ page, serve }) => {
  const server = await serve({ gpus: 4, script: SPIKE });
  server.scenario.gpus.forEach((gpu, i) => Object.assign(gpu, { utilization: 40 + 20 * i, memory_used: (i + 1) * 2 ** 34 }));
  server.write_scenario();
  const { id } = await server.submit(server.config({ name: "spiky", steps: 2000 }), { gpu_ids: [1, 2] });
  await measured(server, id, 1300);
  await server.open(page, `#/trainings/${id}`);
  await expect(values(page, "Loss")).toHaveText("now 2 · from 2 to 99");
  await expect(page.getByRole("progressbar")).toContainText("1,300 of 2,000");

  // Looked at closer, single steps are read again.
  const finer = page.waitForRequest(/from_step=\d+&to_step=\d+/);
  await hover(page, "Loss", 0.55);
  await page.mouse.down();
  await hover(page, "Loss", 0.65);
  await page.mouse.up();
  await finer;
  const over = figure(page, "Loss").locator(".u-over");
  const [from, to] = await shown(page, "Loss");
  await expect.poll(async () => {
    await hover(page, "Loss", (777 - from) / (to - from));
    return readout(page, "Loss").textContent();
  }).toBe("step 777 · 99");
  await over.dblclick();
  await page.mouse.move(0, 0); // the last values, not those below the pointer

  await expect(figure(page, "Step by rank").getByRole("button", { name: "rank 1" })).toContainText("13");
  await page.getByRole("radio", { name: "time" }).check();
  for (const [title, words] of [["Utilization", "60 %"], ["Memory in use", "32.0 GiB"], ["Power", "7"], ["Temperature", "3"]] as const) {
    await drawn(page, title);
    await expect(values(page, title)).toContainText(words);
    for (const name of ["GPU 1", "GPU 2"]) await expect(figure(page, title).getByRole("button", { name })).toBeVisible();
  }
  await expect(figure(page, "Power").getByRole("list", { name: "Events" })).toContainText("warning");
  await look_at(server, page, "training-devices");
});

test("files, logs, events and the difference to another training", async ({ page, serve }) => {
  const server = await serve(CPU);
  const other = await server.submit(server.config({ name: "other", k: 8, steps: 40 }));
  await server.reach(other.id, "completed");
  const { id } = await server.submit(server.config({ name: "this", steps: 100, checkpoint_every: 50 }));
  await server.reach(id, "completed");
  await server.open(page, `#/trainings/${id}`);

  const files = page.getByRole("region", { name: "Checkpoints" });
  await files.getByText("Download").first().click();
  const saved = page.waitForEvent("download");
  await files.getByRole("link", { name: "manifest.json" }).click();
  expect((await saved).suggestedFilename()).toBe("manifest.json");
  await expect(page.getByRole("link", { name: "sae_weights.safetensors" })).toHaveAttribute("href",
    `/api/v1/trainings/${id}/sae/sae_weights.safetensors`);

  await expect(page.getByRole("list", { name: "Newest first" }).getByRole("listitem").first()).toContainText("finished at step 100");
  await page.getByRole("combobox", { name: "of" }).selectOption("rank 0");
  await expect(page.getByLabel(/The last \d+ lines/)).toBeVisible();

  const configuration = page.getByRole("region", { name: "Configuration" });
  await expect(configuration.getByRole("row", { name: "train.batch_size 512" })).toBeVisible();
  await configuration.getByRole("combobox").selectOption({ label: `other (${other.id})` });
  await expect(configuration.getByRole("row", { name: "sae.k 16 8" })).toBeVisible();
  await expect(configuration.getByRole("row", { name: "train.batch_size" })).toHaveCount(0);
  await look_at(server, page, "training-difference");

  await expect(page.getByRole("link", { name: "duplicate" })).toHaveAttribute("href", `#/new?from=${id}`);
  await expect(page.getByRole("link", { name: "compare" })).toHaveAttribute("href", `#/compare?ids=${id}`);
  await page.getByRole("button", { name: "delete", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Delete this?" });
  await dialog.getByRole("button", { name: /^No/ }).click();
  await page.getByRole("button", { name: "delete", exact: true }).click();
  await dialog.getByRole("button", { name: /^Yes/ }).click();
  await expect(page.getByRole("heading", { name: "Trainings" })).toBeVisible();
  await expect(page.getByRole("link", { name: "this", exact: true })).toHaveCount(0);
});

test("checkpoints are deleted, and gone on from", async ({ page, serve }) => {
  const server = await serve(CPU);
  const { id } = await server.submit(server.config({ name: "paused", steps: ENDLESS, checkpoint_every: 100 }));
  await measured(server, id, 250);
  await server.post(`trainings/${id}/control`, { action: "pause" });
  const { current_step } = await server.reach(id, "paused");
  await server.open(page, `#/trainings/${id}`);
  const rows = page.getByRole("region", { name: "Checkpoints" }).locator(".files > li");
  await expect(rows).toHaveCount(2); // the last two are kept
  await expect(figure(page, "Loss").getByRole("list", { name: "Events" })).toContainText("paused at step");

  // The server says why this one stays.
  server.expect_problem("409");
  await rows.last().getByRole("button", { name: /^delete/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: /^Yes/ }).click();
  await expect(page.getByRole("region", { name: "Checkpoints" }).getByRole("alert")).toHaveText(/./);
  await expect(rows).toHaveCount(2);
  await look_at(server, page, "training-paused");

  await rows.first().getByRole("button", { name: /^resume from/ }).click();
  const dialog = page.getByRole("dialog", { name: /^Go on from the checkpoint after/ });
  await expect(dialog).toContainText("The later one is deleted");
  await look_at(server, page, "training-resume-from");
  await dialog.getByRole("button", { name: /^Yes/ }).click();
  await expect(page.locator(".title-row")).toContainText("running");
  await expect(page.getByRole("list", { name: "Newest first" })).toContainText("rewind");
  await expect.poll(async () => (await shown(page, "FVU"))[1]).toBeGreaterThan(current_step);

  // Of one that has ended, any.
  await server.post(`trainings/${id}/control`, { action: "cancel" });
  await expect(page.locator(".title-row")).toContainText("cancelled");
  const left = await rows.count();
  await rows.first().getByRole("button", { name: /^delete/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: /^Yes/ }).click();
  await expect(rows).toHaveCount(left - 1);
});
