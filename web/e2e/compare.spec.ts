// Several real runs beside each other.
import type { Page } from "@playwright/test";
import type { TrainingGroup } from "../src/api/schema";
import { expect, type PageServer, test } from "./fixture";

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
