import { gpu_uuid } from "./machine";
import { expect, test } from "./fixture";

test("a device: its facts, curves, processes and events", async ({ page, serve }) => {
  const server = await serve({ gpus: 8 });
  const gpu = server.scenario.gpus[2]!;
  const wave = async (utilization: number, temperature: number, power_draw: number) => {
    Object.assign(gpu, { utilization, temperature, power_draw, memory_used: 60 * 2 ** 30,
      processes: [{ pid: process.pid, memory_used: 60 * 2 ** 30 }] });
    server.write_scenario();
    await page.waitForTimeout(1100); // the history has one bucket a second
  };
  for (const [utilization, temperature] of [[97, 66], [91, 70], [12, 60], [99, 72]] as const)
    await wave(utilization, temperature, 100 + 6 * utilization);
  await server.open(page);
  await page.locator("#devices").getByRole("link", { name: "GPU 2" }).click();
  const main = page.getByRole("main");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("GPU 2");
  await expect(page).toHaveTitle("GPU 2 – saemill");
  await expect(main).toContainText("00000000:12:00.0");
  await expect(main).toContainText("570.86.10");
  await expect(main.locator(".title-row").first()).toContainText("foreign");
  await expect(main.getByRole("table")).toContainText(String(process.pid));
  await expect(main.getByRole("table")).toContainText("60.0 GiB");
  for (const title of ["Utilization", "Memory", "Temperature", "Power", "Clocks", "PCIe", "NVLink"])
    await expect(main.getByRole("figure", { name: new RegExp(`^${title}`) })).toBeVisible();
  const utilization = main.getByRole("figure", { name: /^Utilization/ });
  await expect(utilization).toContainText("99");
  gpu.utilization = 41;
  server.scenario.events = [{ at_s: 0, gpu: 2, xid: 13 }];
  server.write_scenario();
  await expect(utilization).toContainText("41");
  await expect(main.getByRole("list", { name: "Events of this device" })).toContainText("XID 13");
  await expect(utilization.getByRole("list", { name: "Events" })).toContainText("XID 13");
  await server.look_at(page, "device");
  await page.getByRole("radio", { name: "24 h" }).click();
  await expect(page).toHaveURL(/range=24\+h/);
  await expect(utilization).toBeVisible();
  await page.getByRole("radio", { name: "1 h" }).click();
  await expect(utilization).toContainText("41");

  server.scenario.events = [{ at_s: 0, gpu: 2, lost: true }];
  server.write_scenario();
  await expect(main.locator(".title-row").first()).toContainText("lost");
  await expect(main).toContainText("fallen off the bus");
  await expect(main).toContainText("These are its last values");
  await expect(main).toContainText("41 %");
  await server.look_at(page, "device-lost");
});

test("a slot, and the training that held it", async ({ page, serve }) => {
  const server = await serve({ cpu_slots: 2 });
  const { id } = await server.submit(server.config({ name: "holder", steps: 1_000_000 }));
  await server.reach(id, "running");
  const { device_uuids } = await server.training(id);
  await server.open(page, `#/devices/${device_uuids[0]}`);
  const main = page.getByRole("main");
  await expect(main.locator(".job-list")).toContainText("holder");
  await expect(main.getByRole("table")).toContainText("holder");
  await expect(main.getByRole("figure", { name: /^NVLink/ })).toHaveCount(0);
  await server.look_at(page, "device-slot");
  await main.locator(".job-list").getByRole("link", { name: "holder" }).first().click();
  await expect(page).toHaveURL(new RegExp(id));
});

test("a device that is taken away while its page is open", async ({ page, serve }) => {
  const server = await serve({ gpus: 2 });
  await server.open(page, `#/devices/${gpu_uuid(1)}`);
  await expect(page.getByRole("figure", { name: /^Utilization/ })).toBeVisible();
  server.scenario.gpus.pop();
  server.write_scenario();
  await expect(page.getByRole("alert")).toHaveText("This device is no longer there.");
  await expect(page.getByRole("main")).toContainText("These are its last values");
  await expect(page.getByRole("list", { name: "Events of this device" })).toContainText("no longer there");
});

test("ids: an index and a name lead to the device, and what no device has is said", async ({ page, serve }) => {
  const server = await serve({ gpus: 2 });
  server.expect_problem("404");
  await server.open(page, "#/devices/1");
  await expect(page.getByRole("main")).toContainText(gpu_uuid(1));
  await page.evaluate(() => void (location.hash = "#/devices/gpu:0"));
  await expect(page).toHaveURL(new RegExp(gpu_uuid(0)));
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("GPU 0");
  await page.evaluate(() => void (location.hash = "#/devices/77"));
  await expect(page.getByRole("alert")).toContainText("there is no device 77");
  await server.look_at(page, "device-missing");
});
