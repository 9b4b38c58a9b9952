import { describe, expect, it } from "vitest";
import type { Device, History, MachineEvent } from "../src/api/schema";
import { device_series, divided, event_markers, is_measured, job_spans, job_tints, rate_unit, spliced } from "../src/devices/device_series";

const START = 1_795_000_000;
const reading = (seconds: number, more: Partial<Device> = {}) =>
  ({ index: 0, uuid: "GPU-0", sampled_at: new Date((START + seconds) * 1000).toISOString(), age_ms: 0, ...more }) as Device;
const history = (seconds: number[], mean: (number | null)[], job: (string | null)[] = seconds.map(() => null)): History =>
  ({ uuid: "GPU-0", bucket_s: 10, time: seconds.map((s) => START + s), utilization: { min: mean, mean, max: mean }, job });
const offsets = (time: number[]) => time.map((value) => value - START);

describe("what a device measured", () => {
  it("goes on with the readings after the history", () => {
    const readings = [reading(11, { utilization: 90 }), reading(20, { utilization: 40 }), reading(25, { utilization: 60, current_job: "a" })];
    const series = device_series(history([0, 10], [10, 30]), readings, START);
    expect(offsets(series.time)).toEqual([0, 10, 20]);
    expect(series.fields.utilization).toEqual({ min: [10, 30, 40], mean: [10, 60, 50], max: [10, 90, 60] });
    expect(series.job).toEqual([null, null, "a"]);
  });

  it("has gaps where nothing was measured", () => {
    const series = device_series(history([0, 40], [1, 2]), [reading(95, { utilization: 3 })], START);
    expect(offsets(series.time)).toEqual([0, 10, 40, 50, 90]);
    expect(series.fields.utilization.mean).toEqual([1, null, 2, null, 3]);
  });

  it("leaves out what is before the time shown, and fields that were never measured", () => {
    const series = device_series(history([0, 10, 20, 30], [1, 2, 3, 4]), [], START + 20);
    expect(offsets(series.time)).toEqual([10, 20, 30]);
    expect([is_measured(series, "utilization"), is_measured(series, "nvlink_tx")]).toEqual([true, false]);
  });

  it("is finer where somebody looks closer, and has the same gaps", () => {
    const coarse = device_series(history([0, 10, 20, 60, 70], [1, 2, 3, 4, 5]), [], START);
    const fine = device_series({ ...history([20, 21, 22, 65, 66], [10, 11, 12, 13, 14]), bucket_s: 1 }, [], START);
    const both = spliced(coarse, fine);
    expect(offsets(both.time)).toEqual([0, 10, 20, 21, 22, 23, 65, 66, 70]);
    expect(both.fields.utilization.mean).toEqual([1, 2, 10, 11, 12, null, 13, 14, 5]);
    expect(spliced(coarse, device_series(history([], []), [], START))).toBe(coarse);
    const later = spliced(coarse, device_series({ ...history([60, 61], [8, 9]), bucket_s: 1 }, [], START));
    expect(offsets(later.time)).toEqual([0, 10, 20, 30, 60, 61, 70]); // the gap before it stays
    expect(later.fields.utilization.mean[3]).toBeNull();
  });

  it("has rates in a unit that suits them", () => {
    const slow = device_series(history([0], [1]), [reading(15, { pcie: { tx: 5e6, rx: 8e6 } })], START);
    const fast = device_series(history([0], [1]), [reading(15, { pcie: { tx: 5e6, rx: 8e10 } })], START);
    expect([rate_unit(slow, ["pcie_tx", "pcie_rx"]).unit, rate_unit(fast, ["pcie_tx", "pcie_rx"]).unit]).toEqual(["MiB/s", "GiB/s"]);
    expect(divided({ min: [null], mean: [4], max: [8] }, 2)).toEqual({ min: [null], mean: [2], max: [4] });
  });
});

it("tells which jobs held the device", () => {
  const series = device_series(history([0, 10, 20, 30, 40, 80], [1, 1, 1, 1, 1, 1], ["a", "a", null, "b", "c", "c"]), [], START);
  expect(job_spans(series).map(({ job, from, to }) => [job, from - START, to - START]))
    .toEqual([["a", 0, 20], ["b", 30, 40], ["c", 40, 50], ["c", 80, 90]]);
});

it("marks events in the time shown, in their order", () => {
  const event = (seconds: number, more: Partial<MachineEvent>) =>
    ({ time: new Date((START + seconds) * 1000).toISOString(), severity: "info", code: "xid", over: false, host: "h", message: "m",
      ...more }) as MachineEvent;
  const events = [event(50, { over: true }), event(30, { severity: "error" }), event(10, { severity: "warning" }), event(-5, {})];
  expect(event_markers(events, START, START + 60).map(({ x, tone }) => [x - START, tone])).toEqual([[10, "wait"], [30, "bad"], [50, "good"]]);
});

it("a job has one tint, and a new one differs from its neighbour", () => {
  const tints = (jobs: string) => [...job_tints([...jobs].map((job, i) => ({ job, from: i, to: i + 1 })))].map(([job, tint]) => `${job}${tint}`).join(" ");
  expect(tints("aba")).toBe("a0 b1");
  expect(tints("abcdae")).toBe("a0 b1 c2 d3 e1");
});
