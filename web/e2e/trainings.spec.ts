// The list of trainings, with real workers on CPU slots.
import type { Page } from "@playwright/test";
import type { TrainingGroup } from "../src/api/schema";
import { expect, test } from "./fixture";

const ENDLESS = 10_000_000; // steps

const row = (page: Page, name: string) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
const names = (page: Page) => page.locator("table.trainings tbody th > a").allTextContents();
const bulk = (page: Page, words: string | RegExp) => page.getByRole("group", { name: "The chosen trainings" }).getByRole("button", { name: words });

async function choose(page: Page, ...all: string[]) {
  for (const name of all) await page.getByRole("checkbox", { name: `Choose ${name}`, exact: true }).check();
}

test("a training from its start to its end", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 4 });
  await server.open(page, "#/trainings");
  await expect(page.getByText("There is no training yet")).toBeVisible();
  await expect(page.getByRole("link", { name: "Start one" })).toHaveAttribute("href", "#/new");
  await server.look_at(page, "trainings-none");

  const { id } = await server.submit(server.config({ name: "shakespeare", steps: ENDLESS }));
  await server.submit(server.config({ name: "waits" }), { hold: true });
  await expect(row(page, "waits")).toContainText("held until somebody releases it");
  await expect(row(page, "shakespeare")).toContainText("running");
  await expect(row(page, "shakespeare").getByRole("progressbar")).toHaveText(/^[1-9].* of 10,000,000/);
  await expect(row(page, "shakespeare").locator(".loss polyline")).toHaveAttribute("points", / .* .* .* .* /); // it grows live
  await server.look_at(page, "trainings");

  await row(page, "shakespeare").getByRole("link", { name: "shakespeare" }).click();
  const title = page.locator(".title-row");
  await title.getByRole("button", { name: "pause" }).click();
  await expect(title).toContainText("paused");
  await title.getByRole("button", { name: "resume" }).click();
  await expect(title).toContainText("running");
  await title.getByRole("button", { name: "finish" }).click();
  await page.getByRole("dialog").getByRole("button", { name: /^No/ }).click();
  await title.getByRole("button", { name: "finish" }).click();
  await page.getByRole("dialog").getByRole("button", { name: /^Yes/ }).click();
  await expect(title).toContainText("completed");
  await expect(page.getByRole("link", { name: "sae_weights.safetensors" })).toBeVisible();
  expect((await server.training(id)).status).toBe("completed");
});

test("cancel asks first", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 4 });
  const { id } = await server.submit(server.config({ name: "endless", steps: ENDLESS }));
  await server.reach(id, "running");
  await server.open(page, "#/trainings");
  const cancel = row(page, "endless").getByRole("button", { name: "cancel" });
  await cancel.click();
  await expect(page.getByRole("dialog", { name: "Cancel endless?" })).toBeVisible();
  await server.look_at(page, "trainings-cancel");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await expect(cancel).toBeFocused();
  expect((await server.training(id)).status).toBe("running");
  await cancel.click();
  await page.getByRole("dialog").getByRole("button", { name: /^Yes/ }).click();
  await expect(row(page, "endless")).toContainText("cancelled");
  await page.getByRole("radio", { name: /^completed/ }).click();
  await expect(page.getByText("None of the 1 trainings is completed.")).toBeVisible();
  await expect(page).toHaveURL(/show=completed/);
});

test("what is not there", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  server.expect_problem("404");
  await server.open(page, "#/trainings/nobody");
  await expect(page.getByRole("alert").first()).toContainText("nobody");
});

test("a sweep is filtered, sorted and acted on together", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 4 });
  server.expect_problem("409"); // of a delete that comes too early
  await server.submit(server.config({ name: "sweep", steps: 60 }), { hold: true });
  const group = await server.post<TrainingGroup>("trainings", {
    config: { ...server.config({ name: "wide", steps: ENDLESS }), sae: { d_sae: 512, k: [8, 16, 32] } },
  });
  for (const { id } of group.data) await server.reach(id, "running");
  await server.open(page, "#/trainings");
  await expect(row(page, "sweep")).toBeVisible();
  await expect(page.locator("table.trainings tbody tr")).toHaveCount(4);

  await page.getByLabel("Filter").fill("k=16 wide");
  await expect(page.locator("table.trainings tbody tr")).toHaveCount(1);
  await expect(page).toHaveURL(/text=k%3D16\+wide/);
  await page.reload(); // the address holds it
  await expect(page.getByLabel("Filter")).toHaveValue("k=16 wide");
  await expect(page.locator("table.trainings tbody tr")).toHaveCount(1);
  await page.getByLabel("Filter").fill("nothing of the kind");
  await expect(page.getByText("None of the 4 trainings matches “nothing of the kind”.")).toBeVisible();
  await page.getByLabel("Filter").fill("");
  await page.getByRole("link", { name: /^group/ }).first().click();
  await expect(page.locator("table.trainings tbody tr")).toHaveCount(3);

  await page.getByRole("button", { name: "Training", exact: true }).click();
  await expect(page.getByRole("columnheader", { name: /Training/ })).toHaveAttribute("aria-sort", "ascending");
  const up = await names(page);
  expect(up.map((name) => name.match(/k=(\d+)/)?.[1])).toEqual(["8", "16", "32"]);
  await page.getByRole("button", { name: "Training", exact: true }).click();
  await expect(page.getByRole("columnheader", { name: /Training/ })).toHaveAttribute("aria-sort", "descending");
  expect(await names(page)).toEqual([...up].reverse());

  await choose(page, ...up.slice(0, 2));
  await expect(page.getByRole("link", { name: "Compare 2" })).toHaveAttribute("href", /#\/compare\?ids=\w+,\w+$/);
  await bulk(page, "pause 2").click();
  await expect(page.getByText("The server accepted pause for 2 trainings.")).toBeVisible();
  for (const name of up.slice(0, 2)) await expect(row(page, name)).toContainText("paused");
  await server.look_at(page, "trainings-chosen");
  await bulk(page, "resume 2").click();
  for (const name of up.slice(0, 2)) await expect(row(page, name)).toContainText("running");

  await page.getByRole("button", { name: "all groups" }).click();
  await page.getByLabel(/chosen$/).check(); // of which 2 were
  await bulk(page, "cancel 4").click();
  await expect(page.getByRole("dialog", { name: "Cancel 4 trainings?" })).toBeVisible();
  await page.getByRole("dialog").getByRole("button", { name: /^Yes/ }).click();
  for (const name of [...up, "sweep"]) await expect(row(page, name)).toContainText("cancelled");
  // The server keeps the folder of one whose launcher still ends, and says so.
  await expect(async () => {
    await bulk(page, /^delete/).click();
    await page.getByRole("dialog").getByRole("button", { name: /^Yes, delete/ }).click();
    await expect(page.getByText("There is no training yet")).toBeVisible({ timeout: 2000 });
  }).toPass();
  await expect(page.getByText(/^Deleted \d trainings?\.$/)).toBeVisible();
});

test("each action is for those that take it", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 2 });
  const { id } = await server.submit(server.config({ name: "runs", steps: ENDLESS }));
  await server.reach(id, "running");
  for (const name of ["over 1", "over 2"]) {
    const over = await server.submit(server.config({ name, steps: ENDLESS }), { hold: true });
    await server.post(`trainings/${over.id}/control`, { action: "cancel" });
  }
  for (const name of ["waits 1", "waits 2"]) await server.submit(server.config({ name, steps: 60 }), { hold: true });
  await server.open(page, "#/trainings");
  await choose(page, "runs", "over 1", "waits 1", "waits 2");
  const offers = page.getByRole("group", { name: "The chosen trainings" }).getByRole("button");
  await expect(offers).toHaveText(["pause 1", "finish 1", "retry 1", "release 2", "cancel 3", "delete 1"]);
  await server.look_at(page, "trainings-mixed");

  // What was cancelled waits again or runs already.
  await bulk(page, "retry 1").click();
  await expect(page.getByText("The server accepted retry for 1 training; for the other 3 it is not possible now.")).toBeVisible();
  await expect(row(page, "over 1").locator(".chip")).toHaveText(/queued|starting|running/);
  await bulk(page, "release 2").click();
  await expect(page.getByText("The server accepted release for 2 trainings; for the other 2 it is not possible now.")).toBeVisible();
  for (const name of ["waits 1", "waits 2"]) await expect(row(page, name)).not.toContainText("held until");

  // Finish asks first, and each that runs ends with its SAE.
  await bulk(page, /^finish/).click();
  const dialog = page.getByRole("dialog", { name: /^Finish \d trainings?\?$/ });
  await dialog.getByRole("button", { name: /^No/ }).click();
  expect((await server.training(id)).status).toBe("running");
  for (const name of ["over 1", "waits 1", "waits 2"]) await page.getByRole("checkbox", { name: `Choose ${name}`, exact: true }).uncheck();
  await bulk(page, "finish 1").click();
  await page.getByRole("dialog", { name: "Finish 1 training?" }).getByRole("button", { name: /^Yes/ }).click();
  await expect(page.getByText("The server accepted finish for 1 training.", { exact: true })).toBeVisible();
  await expect(row(page, "runs")).toContainText("completed");
});

test("several that wait are held and released", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  const { id } = await server.submit(server.config({ name: "runs", steps: ENDLESS }));
  await server.reach(id, "running");
  for (const name of ["next", "last"]) await server.submit(server.config({ name }));
  await server.open(page, "#/trainings");
  await choose(page, "runs", "next", "last");
  await bulk(page, "hold 2").click();
  await expect(page.getByText("The server accepted hold for 2 trainings; for the other one it is not possible now.")).toBeVisible();
  for (const name of ["next", "last"]) await expect(row(page, name)).toContainText("held until somebody releases it");
  await expect(bulk(page, /^hold/)).toHaveCount(0);
  await bulk(page, "release 2").click();
  for (const name of ["next", "last"]) await expect(row(page, name)).toContainText("when training runs ends");
});

test("what is refused is told for each", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 2 });
  server.expect_problem("409");
  const { id } = await server.submit(server.config({ name: "short", steps: ENDLESS }));
  const held = await server.submit(server.config({ name: "held" }), { hold: true });
  await server.reach(id, "running");
  await server.open(page, "#/trainings");
  await choose(page, "short", "held");
  // It ends between the look and the press.
  await page.route("**/control", async (route) => {
    if (route.request().url().includes(id)) await server.post(`trainings/${id}/control`, { action: "cancel" });
    await route.continue();
  });
  await bulk(page, "cancel 2").click();
  await page.getByRole("dialog").getByRole("button", { name: /^Yes/ }).click();
  await expect(page.getByText("The server accepted cancel for 1 of 2 trainings.")).toBeVisible();
  await expect(page.getByRole("status").filter({ hasText: "short: the training is cancelled" })).toBeVisible();
  expect((await server.training(held.id)).status).toBe("cancelled");
  await server.look_at(page, "trainings-refused");
});

test("hundreds of rows are shown in parts", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  for (let i = 0; i < 2; i += 1)
    await server.post("trainings", {
      config: { ...server.config({ name: `many${i}` }), sae: { d_sae: 512, k: Array.from({ length: 60 }, (_, k) => k + 1) } },
      hold: true,
    });
  await server.open(page, "#/trainings");
  await expect(page.locator("table.trainings tbody tr")).toHaveCount(100);
  await page.getByRole("button", { name: "Show 20 more of 120" }).click();
  await expect(page.locator("table.trainings tbody tr")).toHaveCount(120);
});
