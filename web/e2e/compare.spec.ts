// Several real runs beside each other.
import type { Page } from "@playwright/test";
import type { Training, TrainingGroup } from "../src/api/schema";
import { eventually, expect, type PageServer, test } from "./fixture";

const ENDLESS = 10_000_000; // steps

const plot = (page: Page, title: string) => page.getByRole("figure", { name: title });
const results = (page: Page) => page.getByRole("region", { name: "Results" });

async function three_runs(server: PageServer): Promise<TrainingGroup> {
  const group = await server.post<TrainingGroup>("trainings",
    { config: { ...server.config({ name: "s", steps: 120 }), sae: { d_sae: 512, k: [8, 16, 32] } } });
  for (const { id } of group.data) await server.reach(id, "completed");
  return group;
}

test("three runs are compared", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 3 });
  const { data } = await three_runs(server);
  await server.open(page, "#/trainings");
  for (const { name } of data) await page.getByRole("checkbox", { name: `Choose ${name}`, exact: true }).check();
  await page.getByRole("link", { name: "Compare 3" }).click();

  const legend = plot(page, "Loss").getByRole("list", { name: "Curves" }).getByRole("button");
  await expect(legend).toHaveCount(3);
  for (const title of ["FVU", "L0", "Dead latents", "Learning rate", "Speed"]) await expect(plot(page, title)).toBeVisible();
  await expect(plot(page, "FVU")).toContainText(/now 0\.\d+ to 0\.\d+/);

  // More latents explain more, so all three are on the front, and k = 32 is the best.
  const scatter = page.getByRole("img", { name: "FVU against L0 of each run" });
  await expect(scatter.locator("text.label")).toHaveCount(3);
  await expect(scatter.locator("polyline.front")).toHaveCount(1);
  const best = results(page).getByRole("row").filter({ hasText: "k=32" }).getByRole("cell").nth(0);
  await expect(best).toContainText("best");
  await expect(results(page).getByRole("row").filter({ hasText: "yes" })).toHaveCount(3);

  const differences = page.getByRole("table", { name: "The keys in which they differ" });
  await expect(differences.locator("tbody tr")).toHaveCount(1);
  await expect(differences.locator("tbody tr")).toContainText("sae.k");
  await server.look_at(page, "compare");
});

test("the address holds what is compared, and how", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 3 });
  const { data } = await three_runs(server);
  const [first, second, third] = data.map(({ id }) => id);
  await server.open(page, "#/compare");
  await expect(page.getByText("Choose at least two runs")).toBeVisible();
  await server.look_at(page, "compare-none");
  await page.getByLabel("Add a run").selectOption(first ?? "");
  await page.getByLabel("Add a run").selectOption(second ?? "");
  await expect(plot(page, "Loss").getByRole("list", { name: "Curves" }).getByRole("button")).toHaveCount(2);
  await page.getByRole("radio", { name: "activations" }).click();
  await expect(page.getByRole("radio", { name: "activations" })).toBeChecked();
  // What none of them has is not offered, and said where the address asks for it.
  await expect(page.getByLabel("Add a chart").locator("option[value=sparsity_loss]")).toHaveCount(0);
  await page.evaluate(() => void (location.hash += "&metrics=sparsity_loss"));
  await expect(page.getByText("None of these runs has Sparsity loss")).toBeVisible();
  await page.getByRole("button", { name: "remove Sparsity loss" }).click();
  await page.getByLabel("Add a chart").selectOption("mse");
  await expect(plot(page, "Squared error")).toBeVisible();
  await expect(page).toHaveURL(new RegExp(`compare\\?ids=${first},${second}&x=activations&metrics=mse$`));
  await page.reload();
  await expect(plot(page, "Squared error").getByRole("list", { name: "Curves" }).getByRole("button")).toHaveCount(2);
  await page.getByRole("button", { name: "remove Squared error" }).click();
  await page.getByLabel("Add a run").selectOption(third ?? "");
  await page.getByRole("button", { name: `Remove ${data[0]?.name}` }).click();
  await expect(page).toHaveURL(new RegExp(`compare\\?ids=${second},${third}&x=activations$`));

  server.expect_problem("404");
  await page.evaluate((hash) => void (location.hash = hash), `#/compare?ids=${second},${third},nobody`);
  await expect(page.getByRole("alert")).toContainText("nobody");
  await page.getByRole("button", { name: "leave it out" }).click();
  await expect(page.getByRole("alert")).toHaveCount(0);
});

test("runs that go on are compared live", async ({ page, serve }) => {
  const server = await serve({ gpus: 0, cpu_slots: 2 });
  const { data } = await server.post<TrainingGroup>("trainings",
    { config: { ...server.config({ name: "s", steps: ENDLESS }), sae: { d_sae: 512, k: [8, 32] } } });
  for (const { id } of data) await server.reach(id, "running");
  await server.open(page, `#/compare?ids=${data.map(({ id }) => id).join()}&x=elapsed`);
  const steps = results(page).getByRole("row").filter({ hasText: "k=32" }).getByRole("cell").nth(6);
  const now = plot(page, "Loss").getByText(/^now/);
  await expect(now).toBeVisible();
  const before = [await steps.innerText(), await now.innerText()];
  await expect.poll(() => steps.innerText()).not.toBe(before[0]);
  await expect.poll(() => now.innerText()).not.toBe(before[1]);
  await server.look_at(page, "compare-live");
});

const say = (event: string, more: object) => ({ say: { event, ...more } });

// More points than buckets, and one loss that is far off: the buckets of all steps show that it is there, not where.
const SPIKE = 4755;
const losses = Array.from({ length: 1900 }, (_, i) => 5 * i + 5).map((step) => say("metrics", { step, values: { loss: step === SPIKE ? 99 : 2 } }));
const LONG_RUN = { attempts: [{ "*": [say("started", { step: 0, plan: {} }), ...losses, { beat: 600 }] }] };

// What is on the page of a chart, and what its cursor says.
function looker(page: Page, title: string) {
  const over = plot(page, title).locator(".u-over");
  const move = async (part: number) => {
    const box = await over.boundingBox();
    if (box === null) throw new Error(`${title} is not drawn`);
    await page.mouse.move(box.x + part * box.width, box.y + box.height / 2);
  };
  const said = async (part: number) => {
    await move(part);
    return (await plot(page, title).locator(".readout").textContent()) ?? "";
  };
  const step = async (part: number) => Number(/step ([\d,]+)/.exec(await said(part))?.[1]?.replaceAll(",", ""));
  const drag = async (from: number, to: number) => {
    await over.scrollIntoViewIfNeeded();
    await move(from);
    await page.mouse.down();
    await move(to);
    await page.mouse.up();
  };
  return { drag, said, range: async () => [await step(0.001), await step(0.999)] as const };
}

test("a closer look at runs of many steps reads finer buckets of each", async ({ page, serve }) => {
  const server = await serve({ gpus: 2, script: LONG_RUN });
  const runs: Training[] = [];
  for (const gpu of [0, 1]) runs.push(await server.submit(server.config({ name: `long ${gpu}`, steps: 10_000 }), { gpu_ids: [gpu] }));
  for (const { id } of runs) await eventually(async () => (await server.training(id)).current_step >= 9500);
  await server.open(page, `#/compare?ids=${runs.map(({ id }) => id).join()}`);
  await expect(plot(page, "Loss")).toContainText("to 99");
  const loss = looker(page, "Loss");
  let asked: URL[] = [];
  page.on("request", (request) => request.url().includes("from_step=") && asked.push(new URL(request.url())));
  for (const axis of ["step", "activations", "elapsed"]) {
    await page.getByRole("radio", { name: axis }).click();
    await expect(page.getByRole("radio", { name: axis })).toBeChecked();
    asked = [];
    await loss.drag(0.48, 0.52);
    // Of each run, and of no more than what is shown.
    for (const { id } of runs) await expect.poll(() => asked.some(({ pathname }) => pathname.includes(id))).toBe(true);
    const steps = asked.map(({ searchParams }) => ["from_step", "to_step"].map((name) => Number(searchParams.get(name))));
    if (axis !== "elapsed") for (const [from, to] of steps) expect([from! > 4000, to! < 5500], `${from} to ${to}`).toEqual([true, true]);
    if (axis === "step") {
      const [from, to] = await loss.range();
      expect(to - from).toBeLessThan(600);
      // Single steps now, in the same range. Its ends are not quite those of the chart, so the spike may be a step beside.
      const find_spike = async () => {
        const [first, last] = await loss.range();
        for (const beside of [0, -3, 3])
          if ((await loss.said((SPIKE + beside - first) / (last - first))) === `step ${SPIKE.toLocaleString("en")}`) return true;
        return false;
      };
      await expect.poll(find_spike).toBe(true);
      await expect(plot(page, "Loss").getByRole("list", { name: "Curves" })).toContainText("99");
      const [first, last] = await loss.range();
      expect([Math.abs(first - from) <= 15, Math.abs(last - to) <= 15], `${first} to ${last}, ${from} to ${to}`).toEqual([true, true]);
      await server.look_at(page, "compare-closer");
    }
    await page.getByRole("button", { name: "follow" }).click();
  }
});
