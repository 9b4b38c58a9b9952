import type { Page } from "@playwright/test";
import { expect, test } from "./fixture";

const bell = (page: Page) => page.getByRole("banner").getByRole("button", { name: /^Events/ });

// Stands in for the browser's, which a test cannot look at.
function record_notifications(): void {
  const told: { title: string; onclick?: () => void }[] = [];
  class Recorded {
    static permission = "default";
    static requestPermission() {
      Recorded.permission = "granted";
      return Promise.resolve("granted");
    }
    onclick: (() => void) | undefined;
    constructor(readonly title: string) {
      told.push(this);
    }
    close() {}
  }
  Object.assign(window, { Notification: Recorded, told });
}

const told = (page: Page) => page.evaluate(() => (window as unknown as { told: { title: string }[] }).told.map(({ title }) => title));

test("an event arrives at the bell, is read, and stays read", async ({ page, serve }) => {
  const server = await serve({ gpus: 8 });
  await server.open(page);
  await expect(bell(page)).toHaveAccessibleName("Events");
  server.scenario.events = [{ at_s: 0, gpu: 2, xid: 79 }, { at_s: 0, gpu: 3, xid: 13 }];
  server.scenario.gpus[1]!.temperature = 91;
  server.write_scenario();
  await expect(bell(page)).toHaveAccessibleName(/^Events, [3-9] unread$/);
  await bell(page).press("Enter");
  const shown = page.getByRole("dialog", { name: "Events" });
  await expect(shown).toContainText("XID 79");
  await expect(shown).toContainText("XID 13, a fault of the program that ran on it");
  await expect(bell(page)).toHaveAccessibleName("Events");
  server.scenario.gpus[1]!.temperature = 40;
  server.write_scenario();
  await expect(shown).toContainText("ended");
  await expect(shown).toContainText("over since");
  await server.look_at(page, "bell");
  await shown.getByLabel("Show").selectOption("errors");
  await expect(shown).not.toContainText("XID 13");
  await shown.getByRole("link", { name: "GPU 2" }).first().click();
  await expect(page).toHaveURL(/#\/devices\/GPU-00000002/);
  await expect(shown).toHaveCount(0);
  await page.reload();
  await expect(page.locator("#state")).toHaveText(/^Live/);
  await bell(page).click();
  await expect(page.getByRole("dialog", { name: "Events" })).toContainText("XID 79");
  await expect(page.getByRole("dialog")).not.toContainText("new");
  await page.getByRole("link", { name: "All events" }).click();
  await page.getByRole("main").getByLabel("Show").selectOption("everything");
  await expect(page.getByRole("main")).toContainText("XID 13");
  await server.look_at(page, "events");
  await page.getByRole("main").getByLabel("Show").selectOption("errors");
  await expect(page).toHaveURL(/severity=error/);
  await expect(page.getByRole("main")).not.toContainText("XID 13");
});

test("many events have pages", async ({ page, serve }) => {
  const server = await serve({ cpu_slots: 1 });
  for (let i = 0; i < 51; i += 1) await server.submit(server.config({ name: `waits-${i}` }), { hold: true });
  await server.open(page, "#/events");
  await expect(page.getByRole("main")).toContainText("waits-50");
  await page.getByRole("link", { name: "Older" }).click();
  await expect(page).toHaveURL(/page=2/);
  await expect(page.getByRole("main")).toContainText("waits-0 was created");
  await expect(page.getByRole("link", { name: "Older" })).toHaveCount(0);
});

test("the browser tells when a run ends", async ({ page, serve }) => {
  const server = await serve({ cpu_slots: 1 });
  await page.addInitScript(record_notifications);
  await server.open(page, "#/trainings");
  const quiet = await server.submit(server.config({ name: "quiet", steps: 20 }));
  await server.reach(quiet.id, "completed");
  await expect(page.getByRole("row", { name: "quiet" })).toContainText("completed");
  await expect(bell(page)).toHaveAccessibleName(/unread/);
  await bell(page).click();
  await page.getByLabel("Tell me in the browser when a run ends").check();
  const training = await server.submit(server.config({ name: "told", steps: 200 }));
  await server.reach(training.id, "completed");
  await expect.poll(() => told(page)).toEqual(["told completed"]);
  await page.evaluate(() => (window as unknown as { told: { onclick(): void }[] }).told[0]!.onclick());
  await expect(page).toHaveURL(new RegExp(training.id));
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("told");
  await bell(page).click();
  await page.getByLabel("Tell me in the browser when a run ends").uncheck();
  const last = await server.submit(server.config({ name: "last", steps: 20 }));
  await server.reach(last.id, "completed");
  await expect(page.getByRole("dialog", { name: "Events" })).toContainText("last");
  expect(await told(page)).toEqual(["told completed"]);
});

test("blocked notifications are said to be blocked", async ({ page, serve }) => {
  const server = await serve({ cpu_slots: 1 });
  await page.addInitScript(() => Object.defineProperty(Notification, "permission", { get: () => "denied" }));
  await server.open(page);
  await bell(page).click();
  await expect(page.getByLabel("Tell me in the browser")).toBeDisabled();
  await expect(page.getByRole("dialog")).toContainText("This browser blocks notifications");
});
