import { describe, expect, it, vi } from "vitest";
import type { Device, Training } from "../src/api/schema";
import { batched } from "../src/live/batch";
import { memory_parts, NO_DEVICES, with_device_messages, with_devices } from "../src/live/devices_state";
import { newest_first, NO_TRAININGS, with_list, with_messages, with_training, without_training } from "../src/live/trainings_state";
import { place_of } from "../src/router";
import { matches } from "../src/training_words";

const training = (id: string, more: Partial<Training> = {}) =>
  ({ id, name: id, status: "running", gpu_ids: [], current_step: 0, total_steps: 100, progress: 0, created_at: id, metrics: {}, config: {},
    ...more }) as Training;
const device = (index: number, more: Partial<Device> = {}) =>
  ({ index, uuid: `GPU-${index}`, availability: "free", sampled_at: "2026-11-21T10:00:00Z", age_ms: 0, ...more }) as Device;
const metrics = (step: number, values: object) => ({ seq: step, event: "metrics", step, values });
const line = (id: string, step: number, values: object) =>
  ({ channel: `trainings/${id}/progress`, event: "training:progress", seq: step, data: metrics(step, values) });

describe("trainings", () => {
  const known = with_list(NO_TRAININGS, [training("a", { config: { k: 8 } }), training("b")], 1, "");

  it("follow the live channels", () => {
    const next = with_messages(known, [line("a", 25, { fvu: 0.5 }), line("nobody", 1, {})], 2);
    expect(next.by_id["a"]).toMatchObject({ current_step: 25, progress: 25, metrics: { fvu: 0.5 }, config: { k: 8 } });
    const { config, metrics: _, ...state } = training("a", { status: "paused" });
    const paused = with_messages(next, [{ channel: "trainings", event: "training:status", seq: 2, data: state }], 3);
    expect(paused.by_id["a"]).toMatchObject({ status: "paused", metrics: { fvu: 0.5 }, config: { k: 8 } });
    const deleted = with_messages(paused, [{ channel: "trainings", event: "training:deleted", seq: 3, data: state }], 4);
    expect(Object.keys(deleted.by_id)).toEqual(["b"]);
    expect(Object.keys(known.by_id)).toEqual(["a", "b"]);
  });

  it("are not taken back by an old change that is told again", () => {
    const { config, metrics: _, ...state } = training("a", { attempt: 1, current_step: 3, progress: 3 });
    const told = (more: object, channel = "trainings") => [{ channel, event: "training:status", seq: 1, data: { ...state, ...more } }];
    const here = with_list(NO_TRAININGS, [training("a", { attempt: 1, current_step: 25, progress: 25 })], 1, "");
    expect(with_messages(here, told({}), 2).by_id["a"]).toMatchObject({ current_step: 25, progress: 25 });
    expect(with_messages(here, told({ attempt: 2 }), 2).by_id["a"]?.current_step).toBe(3);
    expect(with_messages(here, told({ status: "paused" }), 2).by_id["a"]?.current_step).toBe(3);
    // Who subscribes to one hears its state of before again.
    expect(with_messages(here, told({ status: "paused" }, "trainings/a/progress"), 2)).toEqual(here);
  });

  it("are not taken back by an older answer", () => {
    const next = with_messages(known, [line("a", 25, {})], 10);
    expect(with_training(next, training("a"), 9).by_id["a"]?.current_step).toBe(25);
    expect(with_training(next, training("a"), 11).by_id["a"]?.current_step).toBe(0);
    expect(Object.keys(with_list(next, [training("c")], 9, "").by_id).sort()).toEqual(["a", "c"]);
    expect(Object.keys(with_list(next, [training("c")], 11, "").by_id)).toEqual(["c"]);
  });

  it("are gone where a part of them is listed that should have them", () => {
    const ended = (id: string) => training(id, { status: "completed" });
    const here = with_list(NO_TRAININGS, [ended("a"), training("b"), ended("c"), ended("d")], 1, "");
    expect(Object.keys(with_list(here, [ended("d")], 2, "b").by_id)).toEqual(["a", "d"]); // b runs, and c is newer than b
  });

  it("are not brought back by an answer that is older than their end", () => {
    const { config, metrics: _, ...state } = training("a");
    const told = with_messages(known, [{ channel: "trainings", event: "training:deleted", seq: 3, data: state }], 10);
    for (const gone of [told, without_training(known, "a", 10)]) {
      expect(Object.keys(with_training(gone, training("a"), 9).by_id)).toEqual(["b"]);
      const listed = with_list(gone, [training("a"), training("b")], 9, "");
      expect(Object.keys(listed.by_id)).toEqual(["b"]);
      expect(with_list(listed, [training("b")], 11, "").changed_at).toEqual({}); // nothing is remembered forever
    }
  });

  it("have the metrics of a newer answer, though their state came live", () => {
    const { config, metrics: _, ...state } = training("a", { status: "completed" });
    const measured = with_messages(known, [line("a", 25, { fvu: 0.5 })], 5);
    const ended = with_messages(measured, [{ channel: "trainings", event: "training:status", seq: 3, data: state }], 11);
    const one = with_training(ended, training("a", { metrics: { fvu: 0.1 } }), 10).by_id["a"];
    expect(one).toMatchObject({ status: "completed", metrics: { fvu: 0.1 } });
    expect(with_training(measured, training("a", { metrics: { fvu: 0.9, l0: 8 } }), 4).by_id["a"]?.metrics).toEqual({ fvu: 0.5, l0: 8 });
  });

  it("are sorted and filtered", () => {
    expect(newest_first([training("1"), training("3"), training("2")]).map(({ id }) => id)).toEqual(["3", "2", "1"]);
    expect([matches("active", "pausing"), matches("waiting", "paused"), matches("failed", "cancelled"), matches("completed", "running")])
      .toEqual([true, true, true, false]);
  });
});

describe("devices", () => {
  it("show a new state at once", () => {
    const state = with_devices(NO_DEVICES, [device(0), device(1)], 1);
    const lost = { channel: "system/gpus", event: "gpu:state", seq: 1, data: device(1, { availability: "lost" }) };
    expect(with_device_messages(state, [lost], 2).gpus?.map((gpu) => gpu.availability)).toEqual(["free", "lost"]);
    expect(with_device_messages(NO_DEVICES, [lost], 2)).toBe(NO_DEVICES);
  });

  it("divide their memory", () => {
    const processes = [{ pid: 1, type: "compute" as const, memory_used: 30, training_id: "a" },
      { pid: 2, type: "compute" as const, memory_used: 20 }];
    expect(memory_parts(device(0, { memory_total: 100, memory_used: 60, memory_reserved: 5, processes })))
      .toEqual({ ours: 30, others: 30, reserved: 5, free: 35 });
    expect(memory_parts(device(0, { memory_total: 100, memory_used: 10, processes }))).toEqual({ ours: 10, others: 0, reserved: 0, free: 90 });
    expect(memory_parts(device(0))).toBeNull();
  });
});

it("shows at most four times a second what comes often", () => {
  vi.useFakeTimers();
  const shown: number[][] = [];
  const show = batched<number>((items) => shown.push(items));
  for (let i = 0; i < 100; i += 1) {
    show(i);
    vi.advanceTimersByTime(10);
  }
  vi.advanceTimersByTime(250);
  expect(shown.length).toBeLessThanOrEqual(5);
  expect(shown.flat()).toHaveLength(100);
  vi.useRealTimers();
});

it("reads places from the hash", () => {
  expect(place_of("")).toMatchObject({ path: [] });
  expect(place_of("#/trainings/a%2Fb?show=x").path).toEqual(["trainings", "a/b"]);
  expect(place_of("#/trainings?show=active").query.get("show")).toBe("active");
  expect(place_of("#/%zz").path).toEqual(["%zz"]);
});
