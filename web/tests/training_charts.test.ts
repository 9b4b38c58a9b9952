import { QueryClient } from "@tanstack/react-query";
import { describe, expect, it, vi } from "vitest";
import type { History, MetricCatalog, RunEvent, TrainingSeries } from "../src/api/schema";
import type { Sample } from "../src/live/devices_state";
import { type Curves, curves_of, NO_CURVES, not_in, spliced, with_lines } from "../src/live/series";
import { by_step, measurements } from "../src/training/device_columns";
import { event_markers } from "../src/training/event_markers";
import { figures, rank_figures } from "../src/training/figures";
import { by_rank, reported_by_ranks } from "../src/training/rank_curves";
import { devices_of, event_words, with_events } from "../src/training/run_events";
import { clock_of, step_at, steps_of, steps_shown } from "../src/training/times";
import { curves_query } from "../src/training/use_curves";

const at = (second: number) => new Date(second * 1000).toISOString();
const metrics = (step: number, values: object,
  more: object = {}): RunEvent => ({ seq: step, event: "metrics", step, time: at(step), values, ...more });
const series = (step: number[], mean: (number | null)[], exact = true): TrainingSeries => ({
  step, time: step, exact, series: { loss: { min: mean.map((value) => value && value - 1), mean,
    max: mean.map((value) => value && value + 1) }, lost: { min: [], mean: [null], max: [] } },
});

describe("curves", () => {
  it("have the metrics that were measured, and bands only where points are buckets", () => {
    const { columns } = curves_of(series([10, 20], [4, 2]));
    expect(Object.keys(columns)).toEqual(["loss"]);
    expect(columns["loss"]?.min).toBe(columns["loss"]?.mean);
    expect(curves_of(series([10, 20], [4, 2], false)).columns["loss"]?.max).toEqual([5, 3]);
    expect(curves_of({ ...series([1, 2, 3], [1, 2, 3]), time: [5, 4, 6] }).time).toEqual([5, 5, 6]);
  });

  it("go on with the lines that are new, of all ranks together or of one", () => {
    const known = curves_of(series([10, 20], [4, 2]));
    const lines = [metrics(20, { loss: 9 }), metrics(30, { loss: 1, fvu: 0.1 }, { ranks: { loss: [0, 7] } }),
      { seq: 4, event: "checkpoint", step: 30 }];
    const curves = with_lines(known, lines);
    expect(curves.step).toEqual([10, 20, 30]);
    expect(curves.time).toEqual([10, 20, 30]);
    expect(curves.columns["loss"]?.mean).toEqual([4, 2, 1]);
    expect(curves.columns["loss"]?.max).toBe(curves.columns["loss"]?.mean);
    expect(curves.columns["fvu"]?.mean).toEqual([null, null, 0.1]);
    expect(with_lines(known, [])).toBe(known);
    expect(with_lines(NO_CURVES, lines, 1)).toMatchObject({ step: [20, 30], columns: { loss: { mean: [null, 7] } } });
    expect(not_in(curves, [...lines, metrics(40, {})]).map(({ step }) => step)).toEqual([40]);
    const buckets = with_lines(curves_of(series([10], [4], false)), [metrics(11, { loss: 8 })]).columns["loss"];
    expect([buckets?.min, buckets?.mean, buckets?.max]).toEqual([[3, 8], [4, 8], [5, 8]]);
  });

  it("lose the steps that a rewind takes back", () => {
    const known = curves_of(series([10, 20, 30], [4, 3, 2]));
    const lines = [metrics(40, { loss: 9 }), { seq: 9, event: "rewind", step: 20 }, metrics(30, { loss: 5 })];
    const curves = with_lines(known, lines);
    expect(curves.step).toEqual([10, 20, 30]);
    expect(curves.columns["loss"]?.mean).toEqual([4, 3, 5]);
    // Read again, they are not there, and what was told of the same steps before is not kept for later ones.
    const again = curves_of(series([10, 20, 30], [4, 3, 5]));
    expect(not_in(again, lines)).toEqual([]);
    expect(not_in(again, [...lines, metrics(40, { loss: 4 })])).toEqual([metrics(40, { loss: 4 })]);
  });

  it("are finer where they are looked at closer", () => {
    const coarse = curves_of(series([0, 10, 20, 30], [1, 2, 3, 4], false));
    const fine = curves_of(series([10, 12, 14, 19], [5, 6, 7, 8]));
    const both = spliced(coarse, fine);
    expect(both.step).toEqual([0, 10, 12, 14, 19, 20, 30]);
    expect(both.columns["loss"]?.mean).toEqual([1, 5, 6, 7, 8, 3, 4]);
    expect(both.columns["loss"]?.max).toEqual([2, 5, 6, 7, 8, 4, 5]);
    expect(spliced(coarse, NO_CURVES)).toBe(coarse);
  });
});

it("curves that are read again are still of single steps", async () => {
  const queries = new QueryClient();
  for (const mean of [[4, 2], [4, 3]]) {
    vi.stubGlobal("fetch", () => Promise.resolve(Response.json(series([10, 20], mean))));
    await queries.fetchQuery({ queryKey: ["curves"], ...curves_query("a", "") });
    const loss = queries.getQueryData<Curves>(["curves"])?.columns["loss"];
    expect(loss?.mean).toEqual(mean);
    expect(loss?.min).toBe(loss?.mean);
  }
  vi.unstubAllGlobals();
  queries.clear();
});

describe("times and steps", () => {
  const clock = clock_of({ step: [10, 20, 40], time: [100, 200, 300] }, 50);

  it("are told from each other", () => {
    expect(clock.step).toEqual([0, 10, 20, 40]);
    expect([step_at(clock, 150), step_at(clock, 250), step_at(clock, 75), step_at(clock, 300)]).toEqual([15, 30, 5, 40]);
    expect([step_at(clock, 49), step_at(clock, 301)]).toEqual([null, null]);
    expect(steps_of(clock, [0, 250])).toEqual([0, 30]);
    expect(steps_of(clock, [150, 900])).toEqual([15, 40]);
    const run = { step: [0, 10, 20], time: [1000, 1100, 1200], columns: {}, exact: false };
    expect(steps_shown("step", [2.5, 7], run, null)).toEqual([2.5, 7]);
    expect(steps_shown("time", [1050, 1150], run, null)).toEqual([5, 15]);
    expect(steps_shown("elapsed", [50, 900], run, null)).toEqual([5, 20]);
    expect([steps_shown("activations", [512, 2048], run, 256), steps_shown("activations", [512, 2048], run, null)]).toEqual([[2, 8], null]);
    expect(clock_of({ step: [], time: [] }, 5).step).toEqual([]);
    expect(step_at({ step: [], time: [] }, 5)).toBeNull();
    expect(clock_of({ step: [10], time: [100] }, 200).step).toEqual([10]);
  });

  it("place events on either axis", () => {
    const events: RunEvent[] = [
      { seq: 1, event: "started", attempt: 1, step: 0, time: at(50) },
      { seq: 2, event: "warning", time: at(150), message: "slow" },
      { seq: 3, event: "checkpoint", step: 1000, time: at(300) },
      { seq: 4, event: "rewind", step: 5, time: at(310) },
      { seq: 5, event: "started", attempt: 2, step: 5, time: at(320) },
      { seq: 6, event: "failed", step: 7, time: at(330), reason: "it broke" },
      { seq: 7, event: "told" },
    ];
    expect(event_markers(events, "step", clock)).toEqual([
      { x: 5, tone: "wait", label: "back to step 5" },
      { x: 5, tone: "quiet", label: "attempt 2 started at step 5" },
      { x: 7, tone: "bad", label: "failed at step 7: it broke" },
      { x: 15, tone: "wait", label: "warning: slow" },
      { x: 1000, tone: "quiet", label: "checkpoint after 1,000 steps" },
    ]);
    expect(event_markers(events, "time", clock).map(({ x }) => x)).toEqual([150, 300, 310, 320, 330]);
  });
});

describe("events of a run", () => {
  it("are each there once, and tell the devices that it was on", () => {
    const first = { seq: 1, event: "started", devices: ["gpu:0"], device_uuids: ["A"] };
    const second = { seq: 4, event: "started", devices: ["gpu:2", "gpu:0"], device_uuids: ["C", "A"] };
    const events = with_events(with_events([], [first, metrics(2, {}), second]), [second, { seq: 5, event: "warning", message: "m" }]);
    expect(events.map(({ seq }) => seq)).toEqual([1, 4, 5]);
    expect(event_words(events[2] as RunEvent)).toBe("m");
    expect(event_words(first)).toBe("");
    expect(devices_of(events, ["D"]).map(({ uuid, name }) => `${uuid} ${name}`)).toEqual(["A gpu:0", "C gpu:2", "D D"]);
  });
});

describe("devices", () => {
  const history = (uuid: string, values: number[]): History => ({
    uuid, bucket_s: 10, time: [100, 110, 120], utilization: { min: values, mean: values, max: values.map((value) => value + 1) },
      job: ["t", null, "t"],
  });
  const sample = (time: number, utilization: number | null): Sample => ({ time, utilization, memory_used: null, temperature: null,
    power_draw: null });

  it("are shown while they are the training's own, and go on with what comes live", () => {
    const live = [[sample(119, 99), sample(124, 50), sample(131, 70), sample(133, 80), sample(135, null)], []];
    const found = measurements([history("A", [1, 2, 3]), history("B", [4, 5, 6])], live, "utilization", "t", 120);
    expect(found.x).toEqual([105, 125, 135]);
    expect(found.columns[0]).toEqual({ min: [1, 3, 70], mean: [1, 26.5, 75], max: [2, 50, 80] });
    expect(found.columns[1]?.mean).toEqual([4, 6, null]);
    const steps = by_step(found, { step: [0, 100], time: [100, 130] });
    expect(steps.x.map(Math.round)).toEqual([17, 83]);
    expect(steps.columns[1]?.max).toEqual([5, 7]);
    expect(measurements([], [], "utilization", "t", 0)).toEqual({ x: [], columns: [] });
  });
});

describe("figures", () => {
  const row = (name: string, unit = "") => ({ name, label: `L ${name}`, unit, direction: "none" as const, help: `H ${name}` });
  const catalog: MetricCatalog = { data: [row("loss"), row("mse"), row("fvu"), row("step_ms", "ms"), row("memory_bytes", "bytes")] };

  it("show every metric that the run reports, and no other", () => {
    const reported = ["fvu", "mse", "loss", "step_ms", "memory_bytes", "verified_step", "of_a_later_version"];
    const found = figures(catalog, reported);
    expect(found.Learning.map(({ title }) => title)).toEqual(["Loss", "L fvu"]);
    expect(found.Learning[0]?.curves.map(({ label }) => label)).toEqual(["L loss", "L mse"]);
    expect(found.Speed).toMatchObject([{ title: "L step_ms", unit: "ms", from_zero: true }]);
    expect(found.More.map(({ title, unit }) => title + unit)).toEqual(["L memory_bytes", "verified_step", "of_a_later_version"]);
    expect(found.More[0]?.format?.(2 ** 30)).toBe("1.0 GiB");
    expect(Object.values(found).flat().flatMap(({ curves }) => curves.map(({ name }) => name)).sort()).toEqual([...reported].sort());
    expect(figures(catalog, ["step_ms", "comm_ms"]).Speed[0]?.title).toBe("Time of a step");
    expect(figures(catalog, [])).toEqual({ Learning: [], Speed: [], More: [] });
  });

  it("have a curve for each rank that reports", () => {
    const line = (step: number, ...step_ms: (number | null)[]) => metrics(step, {}, { ranks: { step_ms } });
    const ranks = [NO_CURVES, with_lines(NO_CURVES, [line(1, 4, 5)], 1), with_lines(NO_CURVES, [line(2, 4, 5, 7)], 2)];
    expect(reported_by_ranks(ranks)).toEqual(["step_ms"]);
    const found = by_rank(ranks, "step_ms");
    expect([found.step, found.time]).toEqual([[1, 2], [1, 2]]);
    expect(found.columns.map((one) => one && one.mean)).toEqual([null, [5, null], [null, 7]]);
    expect(rank_figures(catalog, ["step_ms"])[0]?.title).toBe("L step_ms by rank");
  });
});
