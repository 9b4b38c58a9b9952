// What the server says of times, told in the zone of a reader far from UTC.
import { expect, test } from "./fixture";
import { gpu_uuid } from "./machine";

test.use({ timezoneId: "Asia/Kolkata" });

const local = (time: string) => new Date(Date.parse(time) + 5.5 * 3_600_000).toISOString();

test("times in sentences are of the reader's zone", async ({ page, serve }) => {
  const server = await serve({ gpus: 2, script: { attempts: [{ "*": [{ beat: 600 }] }] } });
  const { id } = await server.submit(server.config({ name: "limited" }), { gpu_ids: [0], time_limit_s: 7200 });
  await server.reach(id, "running", "starting");
  await server.submit(server.config({ name: "waits" }), { gpu_ids: [0] });
  server.scenario.events = [{ at_s: 0, gpu: 1, xid: 48 }]; // which no application causes
  server.write_scenario();

  await server.open(page, `#/devices/${gpu_uuid(1)}`);
  const reason = page.getByRole("region", { name: "State" }).locator(".error time");
  const said = await reason.getAttribute("title");
  expect(said).toMatch(/Z$/);
  await expect(reason).toHaveText(local(said!).slice(0, 19).replace("T", " "));
  await expect(page.getByRole("main")).not.toContainText(/\d\dZ|UTC/);
  await server.look_at(page, "times-device");

  await page.getByRole("link", { name: "Trainings", exact: true }).click();
  const ends = page.getByRole("row").filter({ hasText: "waits" }).locator(".reason time").first();
  await expect(ends).toHaveText(/\d\d:\d\d$/);
  expect(await ends.textContent()).toContain(local((await ends.getAttribute("datetime"))!).slice(11, 16));
  const { data } = await server.get<{ data: { name: string; reason: { message: string } }[] }>("trainings");
  expect(data.find(({ name }) => name === "waits")?.reason.message).toMatch(/\d\d:\d\d UTC/); // as it was said
  await expect(page.getByRole("main")).not.toContainText("UTC");
  await server.look_at(page, "times-trainings");
});
