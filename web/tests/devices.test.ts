import { describe, expect, it } from "vitest";
import type { Device, History } from "../src/api/schema";
import { short_names } from "../src/devices/device_words";
import { COLUMNS, first_column, heat_row, heat_scale, heat_words, mixed, moved } from "../src/devices/heat";
import { points_of_all, recent_points, spark_path } from "../src/devices/points";
import { KEPT_S, NO_DEVICES, type Sample, with_devices, with_history } from "../src/live/devices_state";

const START = Date.parse("2026-11-21T10:00:00Z") / 1000;
const at = (seconds: number) => new Date((START + seconds) * 1000).toISOString();
const device = (index: number, seconds: number, more: Partial<Device> = {}) =>
  ({ index, uuid: `GPU-${index}`, kind: "gpu", availability: "free", sampled_at: at(seconds), age_ms: 0, ...more }) as Device;
const sample = (time: number, utilization: number | null, more: Partial<Sample> = {}): Sample =>
  ({ time, utilization, memory_used: null, temperature: null, power_draw: null, ...more });
const history = (uuid: string, time: number[], mean: (number | null)[]): History =>
  ({ uuid, bucket_s: 5, time, utilization: { min: mean, mean, max: mean }, job: time.map(() => null) });

describe("samples", () => {
  it("are kept for a while, one of a second", () => {
    let state = NO_DEVICES;
    for (let i = 0; i <= 2 * KEPT_S; i += 0.5) state = with_devices(state, [device(0, i, { utilization: i })], 1);
    const kept = state.samples["GPU-0"]!;
    expect(kept).toHaveLength(KEPT_S + 1);
    expect(kept.at(-1)).toMatchObject({ time: START + 2 * KEPT_S, utilization: 2 * KEPT_S });
    expect(state.now).toBe(START + 2 * KEPT_S);
  });

  it("are not the same reading again", () => {
    const state = with_devices(NO_DEVICES, [device(0, 0, { utilization: 5 })], 1);
    const stale = with_devices(state, [device(0, 0, { utilization: 5, age_ms: 4000 })], 2);
    expect([stale.samples["GPU-0"]!.length, stale.now]).toEqual([1, START + 4]);
  });

  it("are null where nothing was measured, and the last measured is kept", () => {
    const state = with_devices(NO_DEVICES, [device(0, 0, { utilization: 5 })], 1);
    const lost = with_devices(state, [device(0, 1, { availability: "lost" })], 2);
    expect(lost.samples["GPU-0"]!.map(({ utilization }) => utilization)).toEqual([5, null]);
    expect(lost.last["GPU-0"]).toMatchObject({ utilization: 5, availability: "free" });
    const gone = with_devices(lost, [], 3);
    expect([gone.samples["GPU-0"], gone.last["GPU-0"]?.utilization]).toEqual([undefined, 5]);
  });

  it("are filled in by the history where there are none", () => {
    let state = with_devices(NO_DEVICES, [device(0, 11, { utilization: 50 })], 1);
    state = with_devices(state, [device(0, 31, { utilization: 60 })], 2); // after a gap
    const filled = with_history(state, history("GPU-0", [START, START + 10, START + 20, START + 30], [1, 2, 3, 4]));
    expect(filled.samples["GPU-0"]!.map(({ time, utilization }) => [time - START, utilization])).toEqual([[2.5, 1], [11, 50], [22.5, 3], [31, 60]]);
    expect(with_history(filled, history("GPU-0", [START, START + 20], [1, 3]))).toBe(filled);
  });
});

describe("curves of the last minutes", () => {
  it("have gaps", () => {
    const points = recent_points([sample(0, 1), sample(1000, 0), sample(1001, 100), sample(1002, null), sample(1003, 50)], "utilization", 1003);
    expect(spark_path(points, 1003, 100)).toBe("M99.00 100.0h0L99.33 0.0M100.00 50.0h0");
    expect(spark_path([{ time: 1, value: 0 }, { time: 60, value: 0 }], 60, 100).match(/M/g)).toHaveLength(2);
  });

  it("join devices that were not measured at the same time", () => {
    const all = { a: [sample(1000, 10), sample(1001, 20)], b: [sample(1003, 45)], c: [sample(1000, null)] };
    const ends = (how: "mean" | "sum") => points_of_all(all, "utilization", 1009, how).slice(-2).map(({ value }) => value);
    expect(ends("mean")).toEqual([30, null]);
    expect(ends("sum")).toEqual([60, null]);
  });
});

describe("the heat map", () => {
  const gpu = device(0, 0, { memory_total: 200, power_limit: 700 });

  it("has the mean of each column, and gaps", () => {
    const first = first_column(10_000);
    const row = heat_row("Utilization", gpu,
      [sample(first - 1, 9), sample(first, 10), sample(first + 4, 20), sample(10_000, 70), sample(10_001, null)], first);
    expect(row).toHaveLength(COLUMNS);
    expect([row[0], row[1], row.at(-1)]).toEqual([15, null, 70]);
    expect(heat_row("Memory", gpu, [sample(10_000, 1, { memory_used: 50 })], first).at(-1)).toBe(25);
  });

  it("has a scale with units", () => {
    expect(heat_scale("Power", [gpu])).toEqual({ least: 0, greatest: 700 });
    expect(heat_scale("Temperature", [gpu])).toEqual({ least: 20, greatest: 100 });
    expect([heat_words("Temperature", 71.6), heat_words("Power", null)]).toEqual(["72 °C", "–"]);
  });

  it("mixes colors between its stops", () => {
    const stops = [[0, 0, 0], [100, 100, 100], [200, 0, 0]];
    const scale = { least: 0, greatest: 100 };
    expect([-5, 25, 50, 75, 200].map((value) => mixed(stops, scale, value))).toEqual(
      ["rgb(0 0 0)", "rgb(50 50 50)", "rgb(100 100 100)", "rgb(150 50 50)", "rgb(200 0 0)"]);
  });

  it("is walked by arrow keys", () => {
    const cell = { row: 0, column: COLUMNS - 1 };
    expect(moved(cell, "ArrowUp", 16)).toEqual(cell);
    expect(moved(cell, "ArrowDown", 16)).toEqual({ ...cell, row: 1 });
    expect(moved(cell, "PageUp", 16)).toEqual({ ...cell, column: COLUMNS - 13 });
    expect(moved(cell, "Home", 16)).toEqual({ ...cell, column: 0 });
    expect(moved(cell, "Tab", 16)).toBeNull();
  });
});

it("says the kind of devices once", () => {
  expect(short_names(["GPU 0", "GPU 10", "CPU slot 2", "CPU slot 3"])).toEqual(["GPU 0", "10", "CPU slot 2", "3"]);
  expect(short_names(["device 1", "GPU-7c", "GPU 2"])).toEqual(["device 1", "GPU-7c", "GPU 2"]);
});
