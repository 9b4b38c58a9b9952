// The form of a new training: what it says while one types, which devices can be chosen, and what its buttons start.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import type { Training, TrainingList } from "../src/api/schema";
import { ACTIVATIONS, eventually, expect, test } from "./fixture";
import { gpu_uuid, instance } from "./machine";
import { needed } from "./server";

const RUNS = { attempts: [{ "*": [{ beat: 600 }] }] }; // ranks that hold their devices
const GIB = 2 ** 30;

const field = (page: Page, key: string) => page.locator(`[id="field-${key}"]`);
const row = (page: Page, gpu: number) => page.locator(".choices > li").filter({ has: page.getByText(`GPU ${gpu}`, { exact: true }) });
const box = (page: Page, gpu: number) => page.getByRole("checkbox", { name: `GPU ${gpu}`, exact: true });
const pick = (page: Page, words: string) => page.locator(".segments label", { hasText: words }).click();

async function fill(page: Page, values: Record<string, string>): Promise<void> {
  for (const [key, text] of Object.entries(values)) await field(page, key).fill(text);
}

const BASIC = { "activations.path": ACTIVATIONS, name: "from the page", "sae.d_sae": "512", "sae.k": "16", "train.steps": "300",
  "train.batch_size": "512" };

test("devices are chosen with open eyes", async ({ page, serve }) => {
  const server = await serve({ gpus: 8, script: RUNS });
  const holder = await server.submit(server.config({ name: "holds GPU 0" }), { gpu_ids: [0] });
  await server.reach(holder.id, "running", "starting");
  server.scenario.gpus[1]!.memory_used = 149_000_000_000;
  server.scenario.gpus[2]!.processes = [{ pid: process.pid, memory_used: 20 * GIB }];
  server.scenario.gpus[2]!.memory_used = 20 * GIB;
  server.write_scenario();
  await server.open(page, "#/new");
  server.expect_problem("422"); // a form that is not complete
  server.expect_problem("409");
  server.expect_problem("/logs?"); // of a training that waits, on its page
  await expect(page.getByRole("heading", { name: "New training" })).toBeVisible();
  await server.look_at(page, "new-empty");
  await fill(page, { ...BASIC, "sae.d_sae": "1048576", "train.batch_size": "16384" });
  await expect(page.getByText("16,384 activations of d_in 256")).toBeVisible();
  await expect(page.getByText("on each device", { exact: false }).first()).toBeVisible();
  await expect(page.locator("p.reasons")).toContainText("healthy");
  await page.getByLabel("How many").fill("2");
  await expect(page.getByText("Now it would be")).toContainText(/GPU \d, GPU \d/);
  await server.look_at(page, "new-any");
  await page.getByLabel("How many").fill("8");
  await expect(page.getByText("Not now:")).toBeVisible();
  await expect(page.locator(".reasons")).toContainText("GPU 0");

  await pick(page, "these");
  await expect(box(page, 0)).toBeDisabled();
  await expect(row(page, 0).getByRole("link", { name: "holds GPU 0" })).toBeVisible();
  await expect(box(page, 2)).toBeDisabled();
  await expect(row(page, 2)).toContainText(`pid ${process.pid}`);
  await expect(row(page, 1)).toContainText("missing");
  for (const gpu of [1, 3, 5]) await box(page, gpu).check();
  await expect(row(page, 1)).toContainText(/gpu:1 has 3\d\d\.\d MiB free/);
  await expect(page.getByText("GPU 5", { exact: true }).last()).toBeVisible();
  server.scenario.events = [{ at_s: 0, gpu: 5, lost: true }];
  server.write_scenario();
  await expect(row(page, 5).locator(".chip")).toHaveText(/lost|unhealthy/);
  await expect(row(page, 5).locator(".error").first()).toBeVisible();
  await server.look_at(page, "new-these");
  await box(page, 1).uncheck();
  await box(page, 5).uncheck();
  await expect(box(page, 5)).toBeDisabled();

  // Only who waits may want what is held.
  await pick(page, "queue");
  await page.getByLabel("choose busy ones too").check();
  await box(page, 0).check();
  await box(page, 3).uncheck();
  await page.getByLabel("Priority").fill("7");
  await page.getByText("After other trainings").click();
  await page.getByRole("checkbox", { name: "holds GPU 0" }).check();
  await server.look_at(page, "new-queue");
  await page.getByRole("button", { name: "Queue", exact: true }).click();
  await expect(page.getByRole("heading", { name: "from the page" })).toBeVisible();
  const id = decodeURIComponent(new URL(page.url()).hash.split("/").at(-1) ?? "");
  const made = await server.training(id);
  expect([made.asked_gpu_ids, made.priority, made.after, made.status]).toEqual([[gpu_uuid(0)], 7, [holder.id], "queued"]);
});

test("what is wrong is told beside it, and what is held can be waited for", async ({ page, serve }) => {
  const server = await serve({ gpus: 1, script: RUNS });
  await server.open(page, "#/new");
  server.expect_problem("422");
  server.expect_problem("403");
  server.expect_problem("404");
  server.expect_problem("409");
  await expect(page.locator(".field-errors")).toHaveCount(0); // nothing was touched
  await page.getByRole("button", { name: "Start now" }).click();
  await expect(field(page, "activations.path")).toBeFocused();
  await expect(page.getByText("Nothing was started")).toBeVisible();
  await expect(page.locator('[id="field-train.steps-errors"]')).toContainText("at least one must be above 0");
  await fill(page, { ...BASIC, "activations.path": "nowhere", "sae.k": "0", "train.lr": "fast" });
  await expect(page.locator('[id="field-activations.path-errors"]')).toContainText("nowhere");
  await expect(page.locator('[id="field-sae.k-errors"]')).toContainText("sae.k is 0");
  await expect(page.locator('[id="field-train.lr-errors"]')).toContainText("fast");
  await page.getByText("All settings").click();
  await fill(page, { "train.beta1": "2" });
  await expect(page.locator('[id="field-train.beta1-errors"]')).toContainText("train.beta1 is 2");
  await server.look_at(page, "new-wrong");
  await page.getByLabel("Filter").fill("checkpoint");
  await expect(field(page, "checkpoint.keep_last")).toBeVisible();
  await expect(field(page, "train.beta1")).toBeVisible(); // what is wrong is not hidden
  await expect(field(page, "train.beta2")).toHaveCount(0);
  await fill(page, { ...BASIC, "train.lr": "", "train.beta1": "" });
  await expect(page.locator(".field-errors")).toHaveCount(0);

  await pick(page, "these");
  await page.getByRole("button", { name: "Start now" }).click();
  await expect(page.locator("#gpu_ids-errors")).toBeVisible();
  await pick(page, "choose for me");

  // Two clicks are one training.
  await page.getByRole("button", { name: "Start now" }).dblclick();
  await expect(page.getByRole("heading", { name: "from the page" })).toBeVisible();
  expect((await server.get<TrainingList>("trainings")).data).toHaveLength(1);
  await page.getByRole("link", { name: "New training" }).click();
  await expect(field(page, "sae.k")).toHaveValue("16"); // for the next one
  await fill(page, { name: "waits" });
  await page.getByRole("button", { name: "Start now" }).click();
  await expect(page.locator(".taken")).toContainText("GPU 0: held by from the page");
  await server.look_at(page, "new-taken");
  await page.getByRole("button", { name: "Queue it instead" }).click();
  await expect(page.getByRole("heading", { name: "waits" })).toBeVisible();
});

test("a real training from a path that was looked at, a group, and one like another", async ({ page, serve }) => {
  const server = await serve({ cpu_slots: 4 });
  await server.open(page, "#/new");
  server.expect_problem("422");
  await fill(page, BASIC);
  await expect(page.getByText("16,384 activations of d_in 256")).toBeVisible();
  await expect(page.getByText("Expansion: 2 × d_in.")).toBeVisible();
  await expect(page.getByText("One is 32 steps.")).toBeVisible();
  await page.getByRole("link", { name: "Trainings", exact: true }).click();
  await page.getByRole("link", { name: "New training" }).click();
  await expect(field(page, "sae.d_sae")).toHaveValue("512");
  await page.reload();
  await expect(field(page, "sae.d_sae")).toHaveValue("512");
  await page.getByText("As TOML", { exact: true }).click();
  await expect(page.locator("pre")).toContainText("[train]\nbatch_size = 512\nsteps = 300");
  // An answer that is lost on its way: trying again starts nothing twice.
  server.expect_problem("ERR_FAILED");
  await page.route("**/api/v1/trainings", async (route) => void (await route.fetch().then(() => route.abort())), { times: 1 });
  await page.getByRole("button", { name: "Start now" }).click();
  await expect(page.getByText("The server did not answer.")).toBeVisible();
  await page.getByRole("button", { name: "Start now" }).click();
  await expect(page.getByRole("heading", { name: "from the page" })).toBeVisible();
  const { data } = await server.get<TrainingList>("trainings");
  expect(data).toHaveLength(1);
  const [first] = data as [Training];
  await server.reach(first.id, "completed");

  await page.evaluate((id) => void (location.hash = `#/new?from=${id}`), first.id);
  await expect(page.getByText("Filled from")).toBeVisible();
  await expect(field(page, "sae.k")).toHaveValue("16");
  await fill(page, { "sae.k": "4, 8, 16", "train.steps": "20" });
  await pick(page, "queue");
  await expect(page.getByText("Of the largest of the 3 trainings.")).toBeVisible();
  await server.look_at(page, "new-group");
  await page.getByRole("button", { name: "Queue 3 trainings" }).click();
  await expect(page).toHaveURL(/#\/trainings\?group=/);
  await eventually(async () => (await server.get<TrainingList>("trainings?status=completed")).data.length === 4);

  await page.evaluate(() => void (location.hash = "#/new"));
  await page.getByRole("button", { name: "Clear" }).click();
  await expect(field(page, "sae.k")).toHaveValue("");
});

test("a configuration is copied as TOML, which the server takes", async ({ page, context, serve }) => {
  const server = await serve({ gpus: 1, script: RUNS });
  server.expect_problem("422");
  await server.open(page, "#/new");
  await fill(page, { ...BASIC, name: 'a "quoted" name', "sae.k": "8, 16", "train.lr": "3e-4" });
  await page.getByText("As TOML", { exact: true }).click();
  const copy = page.getByRole("button", { name: "Copy as TOML" });
  const told = page.getByRole("status").filter({ hasText: /^(Copied|The browser)/ });

  // Where the browser forbids it, the page says what to do instead.
  await page.evaluate(() => (navigator.clipboard.writeText = () => Promise.reject(new Error("no"))));
  await copy.click();
  await expect(told).toHaveText("The browser does not allow it: select the text below.");
  await page.reload();
  await page.getByText("As TOML", { exact: true }).click();

  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await copy.click();
  await expect(told).toHaveText("Copied.");
  const text = await page.evaluate(() => navigator.clipboard.readText());
  expect(text).toBe((await page.locator("pre").textContent()) ?? "");
  await server.look_at(page, "new-toml");

  const file = join(server.folder, "copied.toml");
  writeFileSync(file, text);
  execFileSync(needed("SAEMILL"), ["submit", file, "--hold", "--data", server.data]);
  const { data } = await server.get<TrainingList>("trainings");
  expect(data.map(({ config }) => (config["sae"] as { k: number }).k).sort((a, b) => a - b)).toEqual([8, 16]);
  for (const { config } of data)
    expect(config).toMatchObject({ activations: { path: ACTIVATIONS }, sae: { d_sae: 512 }, train: { lr: 3e-4, steps: 300, batch_size: 512 } });
});

test("a GPU in MIG mode is not chosen, and its instances one at a time", async ({ page, serve }) => {
  const server = await serve({ gpus: 2, script: RUNS });
  server.expect_problem("422");
  server.expect_problem("409"); // no two devices train together here
  server.expect_problem("/logs?");
  await server.stop(); // which looks for instances when it starts, and then once a minute
  server.scenario.gpus[0]!.mig = [instance(0, 0), instance(0, 1)];
  server.write_scenario();
  await server.start();
  await server.open(page);
  const cards = page.locator("#devices > li");
  await expect(cards).toHaveCount(4);
  await expect(cards.nth(0)).toContainText("prohibited");
  await expect(cards.nth(0)).toContainText("divided into MIG instances");
  await expect(cards.nth(1).getByRole("heading")).toHaveText("MIG 1");
  await expect(cards.nth(1)).toContainText("NVIDIA H200 MIG 3g.71gb");
  await expect(cards.nth(1)).toContainText("0.1 GiB of 69.8 GiB");
  await server.look_at(page, "mig");
  await cards.nth(1).getByRole("link").click();
  await expect(page.getByRole("heading", { name: "MIG 1" })).toBeVisible();
  await expect(page.locator(".device-facts").getByRole("link", { name: "GPU 0" })).toBeVisible();
  await server.look_at(page, "mig-device");

  await page.getByRole("link", { name: "New training" }).click();
  await fill(page, BASIC);
  await page.getByLabel("How many").fill("3");
  await expect(page.locator("#count-errors, .warning").first()).toBeVisible();
  await pick(page, "these");
  const choice = (name: string) => page.getByRole("checkbox", { name, exact: true });
  const line = (name: string) => page.locator(".choices > li").filter({ has: page.getByText(name, { exact: true }) });
  await expect(choice("GPU 0")).toBeDisabled();
  await expect(line("GPU 0")).toContainText("divided into MIG instances; those are leased instead");
  await choice("MIG 1").check();
  await expect(choice("GPU 0")).toBeDisabled();
  await expect(choice("MIG 2")).toBeDisabled();
  await expect(line("MIG 2")).toContainText("A MIG instance trains alone");
  await expect(choice("GPU 3")).toBeDisabled();
  await expect(line("GPU 3")).toContainText("What is chosen is a MIG instance, which trains alone.");
  await server.look_at(page, "new-mig");
  await choice("MIG 1").uncheck();
  await choice("GPU 3").check();
  await expect(choice("MIG 1")).toBeDisabled();
  await expect(line("MIG 1")).toContainText("it cannot join what is chosen");
  await choice("GPU 3").uncheck();
  await choice("MIG 2").check();
  await page.getByRole("button", { name: "Start now" }).click();
  await expect(page.getByRole("heading", { name: "from the page" })).toBeVisible();
  const { data } = await server.get<TrainingList>("trainings");
  expect(data[0]?.device_uuids).toEqual([instance(0, 1).uuid]);
});
