// Charts under fingers: touches go through the browser's own recognition of gestures, as those of a screen do.
import type { CDPSession, Page } from "@playwright/test";
import { eventually, expect, test } from "./fixture";

test.use({ hasTouch: true, viewport: { width: 420, height: 900 } });

const say = (event: string, more: object) => ({ say: { event, ...more } });
const metrics = Array.from({ length: 100 }, (_, i) => say("metrics", { step: 10 * (i + 1), values: { loss: 2 + (i % 7), fvu: 0.2 } }));
const RUN = { attempts: [{ "*": [say("started", { step: 0, plan: {} }), ...metrics, { beat: 600 }] }] };

const figure = (page: Page, title: string) => page.getByRole("figure", { name: title, exact: false }).first();
const over = (page: Page) => figure(page, "FVU").locator(".u-over");
const readout = (page: Page) => figure(page, "FVU").locator(".readout");

interface Point {
  x: number; // parts of the figure's width and height
  y: number;
}

// From one place to another in steps, as fingers go.
async function gesture(page: Page, cdp: CDPSession, from: Point[], to: Point[]): Promise<void> {
  const box = await over(page).boundingBox();
  if (box === null) throw new Error("FVU is not drawn");
  const points = (part: number) =>
    from.map((start, id) => {
      const end = to[id] ?? start;
      return { id, x: box.x + box.width * (start.x + part * (end.x - start.x)), y: box.y + box.height * (start.y + part * (end.y - start.y)) };
    });
  await cdp.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: points(0) });
  for (let i = 1; i <= 20; i += 1) {
    await cdp.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: points(i / 20) });
    await page.waitForTimeout(16);
  }
  await page.waitForTimeout(200); // lifted at rest, so that nothing goes on scrolling
  await cdp.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
}

async function step_at(page: Page, x: number): Promise<number> {
  const box = await over(page).boundingBox();
  if (box === null) throw new Error("FVU is not drawn");
  await page.touchscreen.tap(box.x + x * box.width, box.y + box.height / 2);
  await page.waitForTimeout(150); // until it is read
  return Number(/step ([\d,]+)/.exec((await readout(page).textContent()) ?? "")?.[1]?.replaceAll(",", ""));
}

async function to_the_middle(page: Page): Promise<void> {
  await figure(page, "FVU").evaluate((one) => one.scrollIntoView({ block: "center" }));
  await expect(over(page)).toBeAttached();
}

test("charts are zoomed and moved by fingers, and the page scrolls by them", async ({ page, serve }) => {
  const server = await serve({ gpus: 1, script: RUN });
  const { id } = await server.submit(server.config({ name: "touched", steps: 2000 }));
  await eventually(async () => (await server.training(id)).current_step >= 1000);
  await server.open(page, `#/trainings/${id}`);
  await to_the_middle(page);
  const cdp = await page.context().newCDPSession(page);
  const follow = page.getByRole("button", { name: "follow" });
  const show_all = figure(page, "FVU").getByRole("button", { name: "show all" });
  const range = async () => [await step_at(page, 0.02), await step_at(page, 0.98)] as const;

  // A tap reads; so does a finger that goes sideways while all is shown.
  expect(await step_at(page, 0.5)).toBeGreaterThan(400);
  await gesture(page, cdp, [{ x: 0.5, y: 0.5 }], [{ x: 0.8, y: 0.5 }]);
  await expect(readout(page)).toHaveText(/step (7[5-9]|8[0-5])0 /);
  await expect(follow).toHaveAttribute("aria-pressed", "true");
  await expect(show_all).toHaveCount(0);

  // Two fingers apart: what was below them stays there.
  await gesture(page, cdp, [{ x: 0.4, y: 0.4 }, { x: 0.6, y: 0.6 }], [{ x: 0.1, y: 0.4 }, { x: 0.9, y: 0.6 }]);
  await expect(follow).toHaveAttribute("aria-pressed", "false");
  const [from, to] = await range();
  expect([from > 340 && from < 420, to > 580 && to < 660], `${from} to ${to}`).toEqual([true, true]);

  // One finger moves it, and the buttons are there.
  await gesture(page, cdp, [{ x: 0.7, y: 0.5 }], [{ x: 0.3, y: 0.52 }]);
  const [later] = await range();
  expect(later).toBeGreaterThan(from + 60);
  await server.look_at(page, "touched");
  await page.setViewportSize({ width: 420, height: 900 });
  await to_the_middle(page);

  // Up and down it is the page that moves, and the range stays.
  const before = await range();
  const scrolled = await page.evaluate(() => scrollY);
  await gesture(page, cdp, [{ x: 0.5, y: 0.9 }], [{ x: 0.52, y: -0.9 }]);
  await expect.poll(() => page.evaluate(() => scrollY)).toBeGreaterThan(scrolled + 100);
  await to_the_middle(page);
  expect(await range()).toEqual(before);

  // Two fingers together zoom out; what is left is undone by the button of each chart.
  await gesture(page, cdp, [{ x: 0.2, y: 0.5 }, { x: 0.8, y: 0.5 }], [{ x: 0.4, y: 0.5 }, { x: 0.6, y: 0.5 }]);
  const [wide_from, wide_to] = await range();
  expect(wide_to - wide_from).toBeGreaterThan(2 * (before[1] - before[0]));
  await show_all.tap();
  await expect(follow).toHaveAttribute("aria-pressed", "true");
  await page.getByRole("button", { name: "Zoom in" }).tap();
  await expect(follow).toHaveAttribute("aria-pressed", "false");
  await page.getByRole("button", { name: "Zoom out" }).tap();
  await expect(follow).toHaveAttribute("aria-pressed", "true");
});
