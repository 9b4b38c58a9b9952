// A training's log, as it grows.
import { expect, test } from "./fixture";

const lines = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => ({ print: `line ${from + i}` }));

const PRINTS = {
  attempts: [
    {
      "0": [{ say: { event: "started", step: 0, plan: {} } }, ...lines(1, 300), { beat_until: "USR1" }, ...lines(301, 302), { beat_until: "USR2" },
        ...lines(303, 310), { beat_until: "TERM" }, { exit: 130 }],
      "1": [{ print: "quiet" }, { beat_until: "TERM" }, { exit: 130 }],
    },
  ],
};

test("a log is shown to its end, and what comes is added", async ({ page, serve }) => {
  const server = await serve({ gpus: 2, script: PRINTS });
  const { id } = await server.submit(server.config({ name: "printing", steps: 2000 }), { gpu_ids: [0, 1] });
  await server.reach(id, "running");
  await server.open(page, `#/trainings/${id}`);
  const asked: string[] = [];
  page.on("request", (request) => request.url().includes("/logs?") && asked.push(new URL(request.url()).search));

  const log = page.getByLabel("The last 200 lines");
  await page.getByRole("combobox", { name: "of" }).selectOption("rank 0");
  await expect(log).toContainText("line 300");
  expect((await log.textContent())?.trimEnd().split("\n")[0]).toBe("line 101");

  // While nothing is printed nothing is asked.
  const before = asked.length;
  await page.waitForTimeout(1500);
  expect(asked.slice(before)).toEqual([]);

  // Of what is printed only that is asked for, and the reader stays at the end.
  server.signal_rank(id, 0, "SIGUSR1");
  await expect(log).toContainText("line 302");
  const after = asked.slice(before);
  for (const search of after) expect(search).toMatch(/^\?rank=0&offset=\d+$/);
  expect((await log.textContent())?.trimEnd().split("\n")[0]).toBe("line 103");
  expect(await log.evaluate((box) => box.scrollTop + box.clientHeight > box.scrollHeight - 20)).toBe(true);

  // Who reads further up is left there.
  await log.evaluate((box) => box.scrollTo(0, 0));
  server.signal_rank(id, 0, "SIGUSR2");
  await expect(log).toContainText("line 310");
  expect(await log.evaluate((box) => box.scrollTop)).toBe(0);

  await page.getByRole("combobox", { name: "of" }).selectOption("rank 1");
  await expect(log).toHaveText("quiet\n");
  await server.look_at(page, "training-log");
});

test("a log goes on behind a restart of the server", async ({ page, serve }) => {
  const server = await serve({ gpus: 2, script: PRINTS });
  server.expect_problem("ERR_CONNECTION_");
  const { id } = await server.submit(server.config({ name: "printing", steps: 2000 }), { gpu_ids: [0, 1] });
  await server.reach(id, "running");
  await server.open(page, `#/trainings/${id}`);
  const log = page.getByLabel("The last 200 lines");
  await page.getByRole("combobox", { name: "of" }).selectOption("rank 0");
  await expect(log).toContainText("line 300");
  await server.stop("SIGKILL");
  await expect(page.locator("#state")).toHaveText("Connection lost; trying again");
  server.signal_rank(id, 0, "SIGUSR1");
  await server.start();
  await expect(log).toContainText("line 302");
  expect((await log.textContent())?.match(/line 301\n/g)).toHaveLength(1);
});
