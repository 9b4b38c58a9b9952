// The queue of a machine with one CPU slot: one runs, the others wait in the scheduler's order.
import type { Page } from "@playwright/test";
import type { Training, TrainingGroup } from "../src/api/schema";
import { eventually, expect, type PageServer, test } from "./fixture";

const ENDLESS = 10_000_000; // steps

const line = (page: Page) => page.getByRole("table", { name: "Waiting, in order" });
const names = (page: Page) => line(page).locator("tbody th a").allTextContents();
const row = (page: Page, name: string) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
const sees_order = (page: Page, ...all: string[]) => expect.poll(() => names(page)).toEqual(all);

async function one_running(server: PageServer): Promise<Training> {
  const first = await server.submit(server.config({ name: "first", steps: ENDLESS }));
  await server.reach(first.id, "running");
  return first;
}

async function submit_all(server: PageServer, ...all: string[]): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  for (const name of all) ids.set(name, (await server.submit(server.config({ name }))).id);
  return ids;
}

test("nothing waits", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  await server.open(page, "#/queue");
  await expect(page.getByText("Nothing runs.")).toBeVisible();
  await expect(page.getByText("Nothing waits.")).toBeVisible();
  await server.look_at(page, "queue-none");
});

test("the order is changed by buttons, by number and by drag", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  const first = await one_running(server);
  const ids = await submit_all(server, "a", "b", "c", "d");
  const priorities = async () => Promise.all(["a", "b", "c", "d"].map(async (name) => (await server.training(ids.get(name) ?? "")).priority));
  await server.open(page, "#/queue");
  await sees_order(page, "a", "b", "c", "d");
  await expect(page.getByRole("region", { name: /^Running/ })).toContainText("first");
  await expect(row(page, "a")).toContainText("cpu:0 when training first ends"); // by its name

  const sooner = page.getByRole("button", { name: "d sooner" });
  await sooner.focus();
  await page.keyboard.press("Enter");
  await sees_order(page, "a", "b", "d", "c");
  await expect(page.getByRole("status").filter({ hasText: "d is at place 3" })).toContainText("Priority:");
  await expect(sooner).toBeFocused(); // though its row has moved
  await page.getByRole("button", { name: "a later" }).click();
  await sees_order(page, "b", "a", "d", "c");
  await expect(page.getByRole("button", { name: "b sooner" })).toHaveAttribute("aria-disabled", "true");

  const field = page.getByLabel("Priority of c, 0 to 100");
  await field.fill("90");
  await field.press("Enter");
  await sees_order(page, "c", "b", "a", "d");
  expect((await priorities())[2]).toBe(90);
  await field.fill("900");
  await field.press("Enter"); // the browser says what is wrong with it
  await page.keyboard.press("Escape");
  await expect(field).toHaveValue("90");

  const grip = (name: string) => row(page, name).locator(".grip");
  await grip("d").dragTo(row(page, "c").getByRole("rowheader"), { targetPosition: { x: 5, y: 2 } });
  await sees_order(page, "d", "c", "b", "a");
  const { x, y } = (await grip("d").boundingBox()) ?? { x: 0, y: 0 };
  await page.mouse.move(x + 5, y + 5);
  await page.mouse.down();
  await page.mouse.move(x + 5, y + 300, { steps: 5 });
  await expect(line(page).locator(".lands-after")).toHaveCount(1);
  await server.look_at(page, "queue-dragged");
  await page.keyboard.press("Escape"); // nothing happens
  await page.mouse.up();
  await sees_order(page, "d", "c", "b", "a");

  // What the page shows is what the scheduler does.
  await server.post(`trainings/${first.id}/control`, { action: "cancel" });
  for (const name of ["d", "c", "b", "a"]) await server.reach(ids.get(name) ?? "", "completed");
  const started = await Promise.all([...ids.values()].map(async (id) => (await server.training(id)).started_at ?? ""));
  expect([...started].sort()).toEqual([...started].reverse());
  await expect(page.getByText("Nothing waits.")).toBeVisible();
});

test("hold, release, pause and cancel", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  const paused = await one_running(server);
  await server.post(`trainings/${paused.id}/control`, { action: "pause" });
  await server.reach(paused.id, "paused");
  const second = await server.submit(server.config({ name: "second", steps: ENDLESS }));
  await server.reach(second.id, "running");
  await submit_all(server, "a", "b", "c");
  await server.open(page, "#/queue");
  await sees_order(page, "a", "b", "c");
  await expect(page.getByRole("table", { name: /^Paused/ })).toContainText("first");

  await row(page, "a").getByRole("button", { name: "hold" }).click();
  await sees_order(page, "b", "c");
  await expect(page.getByRole("table", { name: /^Held/ })).toContainText("a");
  await server.look_at(page, "queue");
  await row(page, "a").getByRole("button", { name: "release" }).click();
  await sees_order(page, "a", "b", "c"); // it came first

  await row(page, "b").getByRole("button", { name: "cancel" }).click();
  await page.getByRole("dialog").getByRole("button", { name: /^Yes/ }).click();
  await sees_order(page, "a", "c");
  await row(page, "first").getByRole("button", { name: "resume" }).click();
  await sees_order(page, "first", "a", "c");
});

test("a sweep waits in the order in which the server made it", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  await one_running(server);
  const k = [32, 8, 64, 4, 16, 2];
  const group = await server.post<TrainingGroup>("trainings", { config: { ...server.config({ name: "s" }), sae: { d_sae: 512, k } } });
  await server.open(page, "#/queue");
  await sees_order(page, ...group.data.map(({ name }) => name));
  const last = group.data.at(-1)?.name ?? "";
  await page.getByRole("button", { name: `${last} sooner` }).click();
  await expect(page.getByRole("status").filter({ hasText: `${last} is at place 5` })).toBeVisible();
  const fifth = group.data[4];
  const has_changed = async (id = "") => (await server.training(id)).priority !== 50;
  await eventually(async () => (await has_changed(fifth?.id)) || (await has_changed(group.data.at(-1)?.id)));
});

test("a refusal is told", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  server.expect_problem("409");
  await one_running(server);
  const ids = await submit_all(server, "a", "b");
  await server.open(page, "#/queue");
  await sees_order(page, "a", "b");
  // It ends between the look and the press.
  const once = { times: 1 };
  await page.route("**/control", async (route) => {
    await server.post(`trainings/${ids.get("b") ?? ""}/control`, { action: "cancel" }).catch(() => undefined);
    await route.continue();
  }, once);
  const field = page.getByLabel("Priority of b, 0 to 100");
  await field.fill("70");
  await field.press("Enter");
  await sees_order(page, "a");
  await expect(page.getByRole("alert")).toContainText("b: the training is cancelled");
});

test("the queue is there again after the server was away", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  for (const words of ["ERR_CONNECTION", "WebSocket"]) server.expect_problem(words);
  await one_running(server);
  await submit_all(server, "a", "b");
  await server.open(page, "#/queue");
  await sees_order(page, "a", "b");
  await server.stop();
  await expect(page.locator("#state")).toHaveText(/^Connection lost/);
  await sees_order(page, "a", "b");
  await page.getByRole("button", { name: "b sooner" }).click();
  await expect(page.getByRole("alert")).toBeVisible(); // in its row
  await server.start();
  await submit_all(server, "c");
  await sees_order(page, "a", "b", "c");
  await page.getByRole("button", { name: "c sooner" }).click();
  await expect(page.getByRole("status").filter({ hasText: "c is at place 2" })).toBeVisible();
});

test("more than one answer holds wait, and none is left out", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 1 });
  const k = Array.from({ length: 100 }, (_, i) => i + 1);
  for (let i = 0; i < 6; i += 1)
    await server.post("trainings", { config: { ...server.config({ name: `many${i}` }), sae: { d_sae: 512, k } }, hold: true });
  await server.open(page, "#/queue");
  await expect(page.getByRole("heading", { name: "Held (600)" })).toBeVisible();
});
