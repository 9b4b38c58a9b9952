import { describe, expect, it, vi } from "vitest";
import type { Device, Training } from "../src/api/schema";
import { can_toggle, missing_memory, process_words, short_name, situation } from "../src/form/devices";
import { errors_of, issues_of, joined, place_of } from "../src/form/errors";
import { batch_words, segments_of, speed_words, whole_time } from "../src/form/estimate";
import { hints_of } from "../src/form/hints";
import type { Form } from "../src/form/state";
import { new_key, place_after } from "../src/form/submission";

vi.stubGlobal("sessionStorage", { getItem: () => null, setItem: () => undefined });
const { EMPTY, filled_from, request_of } = await import("../src/form/state");

const KEYS = ["name", "sae.k", "activations.path"];
const UUIDS = ["GPU-a", "GPU-b"];

function device(index: number, more: Partial<Device> = {}): Device {
  return {
    index, uuid: `GPU-${index}`, kind: "gpu", name: "H200", health: { ok: true, reasons: [] }, availability: "free",
    reason: { code: "", message: "" },
    is_busy: false, sampled_at: "", age_ms: 0, memory_free: 100, ...more,
  };
}

describe("errors", () => {
  it("finds the place that a pointer means", () => {
    const places = { "/config/sae/k": "sae.k", "/config/sae/k/1": "sae.k", "/config/name": "name", "/path": "activations.path",
      "/config/sae/unknown": "", "/config": "", "/gpu_ids/1": "device:GPU-b", "/gpu_ids/7": "gpu_ids", "/gpu_ids": "gpu_ids", "/after/0": "after",
      "/time_limit_s": "time_limit_s" };
    for (const [pointer, place] of Object.entries(places)) expect(place_of(pointer, KEYS, UUIDS), pointer).toBe(place);
  });

  it("keeps what is missing back until it is asked for", () => {
    const missing = { pointer: "/config/activations/path", code: "missing", message: "m" };
    const source = { detail: "both", errors: [missing, { pointer: "/config/sae/k", code: "invalid_value", message: "i" }] };
    expect(errors_of(source, KEYS, [], false)).toEqual({ "sae.k": ["i"] });
    expect(errors_of(source, KEYS, [], true)).toEqual({ "activations.path": ["m"], "sae.k": ["i"] });
    expect(errors_of({ detail: "too many requests", errors: [] }, KEYS, [], false)).toEqual({ "": ["too many requests"] });
  });

  it("tells each message once", () => expect(joined([{ a: ["x"] }, { a: ["x", "y"], b: ["z"] }])).toEqual({ a: ["x", "y"], b: ["z"] }));

  it("does not mind a busy device where the training waits", () => {
    const issue = (code: "busy" | "memory") => ({ code, gpu: "gpu:1", value: null, limit: null, message: code, fix: "f" });
    const found = { errors: [issue("busy"), issue("memory")], warnings: [{ ...issue("memory"), code: "mixed_models" as const, gpu: "" }] };
    const uuids = { "gpu:1": "GPU-b" };
    expect(issues_of(found, uuids, false)["GPU-b"]?.map(({ message }) => message)).toEqual(["busy", "memory"]);
    expect(issues_of(found, uuids, true)["GPU-b"]?.map(({ message }) => message)).toEqual(["memory"]);
    expect(issues_of(found, uuids, true)[""]?.[0]?.tone).toBe("warning");
  });
});

describe("devices", () => {
  it("names them as the server does", () => {
    const slot = device(2, { kind: "cpu" });
    expect(short_name([device(0), device(1), slot], slot)).toBe("cpu:0");
    expect(short_name([device(0), device(1), slot], device(1))).toBe("gpu:1");
  });

  it("lets nobody choose what cannot be had, and everybody give up what was chosen", () => {
    expect(can_toggle(device(0), false, false)).toBe(true);
    for (const availability of ["leased", "foreign", "lost", "unhealthy", "prohibited", "unknown"] as const) {
      expect(can_toggle(device(0, { availability }), false, false), availability).toBe(false);
      expect(can_toggle(device(0, { availability }), true, false), availability).toBe(true);
      expect(can_toggle(device(0, { availability }), false, true), availability).toBe(availability === "leased" || availability === "foreign");
    }
  });

  it("tells what memory is missing, where both are known", () => {
    expect(missing_memory(device(0), 130)).toBe(30);
    expect(missing_memory(device(0), 100)).toBeUndefined();
    expect(missing_memory(device(0), undefined)).toBeUndefined();
    expect(missing_memory({ ...device(0), memory_free: undefined } as unknown as Device, 130)).toBeUndefined();
  });

  it("names strangers", () => {
    expect(process_words({ pid: 7, type: "compute", user: "ana", command: "python x.py", memory_used: 2 ** 30 }))
      .toBe("ana: python x.py (pid 7), 1.0 GiB");
    expect(process_words({ pid: 7, type: "compute" })).toBe("somebody: a process (pid 7)");
  });

  it("asks again when a choice may change, not with each sample", () => {
    const before = situation([device(0)], 90);
    expect(situation([device(0, { memory_free: 95, utilization: 7 })], 90)).toBe(before);
    expect(situation([device(0, { memory_free: 80 })], 90)).not.toBe(before);
    expect(situation([device(0, { availability: "leased" })], 90)).not.toBe(before);
  });
});

describe("estimates", () => {
  const breakdown = { weights: 4, moments: 8, gradients: 4, copies: 0, batch: 2, selection: 0, exchange: 0, context: 1, loader: 1 };

  it("shows the parts that there are", () => expect(segments_of(breakdown).map(({ part }) => part))
    .toEqual(["weights", "moments", "gradients", "batch", "context", "loader"]));

  it("puts batches and speed in words", () => {
    expect(batch_words({ devices: [], total_memory: 0, batch: { global: 4096, per_device: 2048, micro_batches: 1 } }))
      .toBe("4,096 activations a step; 2,048 on each device, in one piece");
    expect(speed_words({})).toBe("no run to learn from yet");
    expect(speed_words({ activations_per_second: 12345.6, efficiency: 0.93, based_on: 1 }))
      .toBe("12,346 activations/s, 93 % efficiency; learned from 1 earlier run");
    expect(whole_time(10, 4096, { activations_per_second: 4096 })).toBe(10);
    expect(whole_time(10, 4096, {})).toBeUndefined();
    expect(whole_time(undefined, 4096, { activations_per_second: 4096 })).toBeUndefined();
  });

  it("says what the data means for the fields", () => {
    const asked = JSON.stringify({ path: "/a" });
    const answer = { rows: 16384, d_in: 256, dtype: "F16", files: 1, bytes: 8388608, tensor: "" };
    const estimate = { devices: [], total_memory: 0, batch: { global: 4096, per_device: 4096, micro_batches: 1 } };
    const hints = hints_of({ "activations.path": "/a", "sae.d_sae": "512, 1024" }, { asked, answer, refusal: null }, estimate);
    expect(hints).toEqual({
      "activations.path": "16,384 activations of d_in 256, F16, in 1 file of 8.0 MiB.", "sae.d_sae": "Expansion: 2, 4 × d_in.",
      "train.epochs": "One is 4 steps.",
    });
    expect(hints_of({ "activations.path": "/a" }, { asked, answer, refusal: null }, null)["sae.d_sae"]).toBe("Here: 16 × 256 = 4,096 latents.");
    expect(hints_of({ "activations.path": "/ab" }, { asked, answer, refusal: null }, null)["activations.path"]).toBe("Looking …");
  });
});

describe("requests", () => {
  it("asks for any devices or these", () => {
    expect(request_of(EMPTY, { name: "a" })).toEqual({ config: { name: "a" }, device_count: 1, start: "now" });
    const form: Form = { ...EMPTY, devices: "these", gpu_ids: UUIDS, hours: "1", minutes: "30", max_restarts: "2", priority: "5",
      after: ["x"], hold: true };
    expect(request_of(form, {})).toEqual({ config: {}, gpu_ids: UUIDS, start: "now", time_limit_s: 5400, max_restarts: 2 });
    expect(request_of({ ...form, start: "queue", minutes: "" }, {})).toEqual({
      config: {}, gpu_ids: UUIDS, start: "queue", time_limit_s: 3600, max_restarts: 2, priority: 5, after: ["x"], hold: true,
    });
  });

  it("is filled with a training's devices", () => {
    const training = { id: "t", config: {}, device_count: 2 } as unknown as Training;
    expect(filled_from(training, [])).toEqual({ ...EMPTY, from: "t", device_count: "2" });
    expect(filled_from({ ...training, asked_gpu_ids: UUIDS }, []))
      .toEqual({ ...EMPTY, from: "t", device_count: "2", devices: "these", gpu_ids: UUIDS });
  });

  it("has a key of its own, and leads to what was made", () => {
    expect(new_key()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(new_key()).not.toBe(new_key());
    expect(place_after({ id: "t1" } as Training)).toBe("#/trainings/t1");
    expect(place_after({ group_id: "g", data: [] })).toBe("#/trainings?group=g");
  });
});
