// The whole way of a person with a machine: from the devices to the downloaded SAE, on real workers, through a restart of the server.
import { createReadStream, existsSync } from "node:fs";
import { createHash } from "node:crypto";
import type { Page } from "@playwright/test";
import type { TrainingList } from "../src/api/schema";
import { ACTIVATIONS, expect, type PageServer, test } from "./fixture";

const STEPS = 4000;

const field = (page: Page, key: string) => page.locator(`[id="field-${key}"]`);
const title = (page: Page) => page.locator(".title-row");
const progress = (page: Page) => page.getByRole("progressbar").first();

async function fill(page: Page, values: Record<string, string>): Promise<void> {
  for (const [key, text] of Object.entries(values)) await field(page, key).fill(text);
}

// Of a file of the finished SAE: what the browser saves, and what the server has.
async function download(page: Page, name: string): Promise<string> {
  const saved = page.waitForEvent("download");
  await page.getByRole("link", { name, exact: true }).click();
  const path = await (await saved).path();
  expect(existsSync(path)).toBe(true);
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function submit(page: Page, server: PageServer): Promise<string> {
  await page.getByRole("link", { name: "New training", exact: true }).click();
  await fill(page, {
    "activations.path": ACTIVATIONS, name: "by hand", "sae.d_sae": "512", "sae.k": "16", "train.steps": String(STEPS), "train.batch_size": "512",
  });
  await expect(page.getByText("16,384 activations of d_in 256")).toBeVisible();
  await page.locator(".segments label", { hasText: "these" }).click();
  for (const slot of [0, 2]) await page.getByRole("checkbox", { name: `CPU slot ${slot}`, exact: true }).check();
  await expect(page.getByText("256 on each device", { exact: false }).first()).toBeVisible();
  await page.getByRole("button", { name: "Start now" }).click();
  await expect(page.getByRole("heading", { name: "by hand", level: 1 })).toBeVisible();
  const [made] = (await server.get<TrainingList>("trainings")).data;
  expect(made?.device_count).toBe(2);
  return made?.id ?? "";
}

test("choose devices, train, pause, go on through a restart, compare, download", async ({ page, serve }) => {
  const server = await serve({ cpu_slots: 4 });
  server.expect_problem("ERR_CONNECTION_"); // REFUSED or, in the middle of an answer, RESET
  server.expect_problem("422"); // while the form is not complete
  await server.open(page);
  const id = await submit(page, server);
  await server.reach(id, "running");
  expect((await server.training(id)).gpu_ids).toEqual([0, 2]);
  await expect(progress(page)).toHaveText(/^[1-9]/);

  await title(page).getByRole("button", { name: "pause" }).click();
  await expect(title(page)).toContainText("paused");
  await title(page).getByRole("button", { name: "resume" }).click();
  await expect(title(page)).toContainText("running");

  // The training goes on without its server, and the page finds it again.
  const before = await progress(page).textContent();
  await server.stop("SIGKILL");
  await expect(page.locator("#state")).toHaveText("Connection lost; trying again");
  await server.start();
  await expect(page.locator("#state")).toHaveText(/^Live/);
  await expect(progress(page)).not.toHaveText(before ?? "");
  await server.reach(id, "completed");
  await expect(title(page)).toContainText("completed");

  const weights = await download(page, "sae_weights.safetensors");
  // The same on one device: the same bytes.
  const alone = await server.submit(server.config({ name: "alone", steps: STEPS }), { device_count: 1 });
  await server.reach(alone.id, "completed");
  await page.getByRole("navigation").getByRole("link", { name: "Trainings" }).click();
  for (const name of ["by hand", "alone"]) await page.getByRole("checkbox", { name: `Choose ${name}`, exact: true }).check();
  await page.getByRole("link", { name: /^Compare/ }).click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Compare");
  await expect(page.getByRole("figure", { name: "Loss" }).locator("canvas").first()).toBeVisible();
  await page.getByRole("link", { name: "alone" }).first().click();
  expect(await download(page, "sae_weights.safetensors")).toBe(weights);
});
