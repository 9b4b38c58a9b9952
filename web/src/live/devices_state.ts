// The devices as last heard of, and what they measured in the last minutes.
import type { Device, History } from "../api/schema";
import type { Message } from "./connection";

export const KEPT_S = 15 * 60;
export const FILL_BUCKETS = 180; // of what the history fills in
export const MEASURED = ["utilization", "memory_used", "temperature", "power_draw"] as const;
export type Measured = (typeof MEASURED)[number];

// null: it was not measured.
export type Sample = { time: number } & Record<Measured, number | null>; // epoch seconds of the server

export interface DevicesState {
  gpus: readonly Device[] | null; // null: nothing was heard yet
  received_at: number; // ms
  now: number; // the server's clock then; epoch seconds
  samples: Readonly<Record<string, readonly Sample[]>>; // by uuid, ascending, at most one of a second
  last: Readonly<Record<string, Device>>; // by uuid: the last that measured anything, also of devices that are gone
}

export const NO_DEVICES: DevicesState = { gpus: null, received_at: 0, now: 0, samples: {}, last: {} };

function sample_of(gpu: Device): Sample {
  const value = (name: Measured) => gpu[name] ?? null;
  return {
    time: Date.parse(gpu.sampled_at) / 1000,
    utilization: value("utilization"), memory_used: value("memory_used"), temperature: value("temperature"), power_draw: value("power_draw"),
  };
}

export function has_measured(gpu: Device): boolean {
  return MEASURED.some((name) => gpu[name] !== undefined);
}

// An old reading that is handed out again is no new sample.
function with_sample(samples: readonly Sample[], sample: Sample, now: number): readonly Sample[] {
  const last = samples.at(-1);
  if (last !== undefined && sample.time <= last.time) return samples;
  const same_second = last !== undefined && Math.floor(sample.time) === Math.floor(last.time);
  const next = [...(same_second ? samples.slice(0, -1) : samples), sample];
  const oldest = next.findIndex(({ time }) => time >= now - KEPT_S);
  return oldest > 0 ? next.slice(oldest) : next;
}

export function with_devices(state: DevicesState, gpus: readonly Device[], received_at: number): DevicesState {
  const now = gpus.reduce((time, gpu) => Math.max(time, (Date.parse(gpu.sampled_at) + gpu.age_ms) / 1000), 0);
  const samples: Record<string, readonly Sample[]> = {};
  const last = { ...state.last };
  for (const gpu of gpus) {
    samples[gpu.uuid] = with_sample(state.samples[gpu.uuid] ?? [], sample_of(gpu), now);
    if (has_measured(gpu)) last[gpu.uuid] = gpu;
  }
  return { gpus, received_at, now, samples, last };
}

// What the server's history knows of times of which nothing was heard.
export function with_history(state: DevicesState, history: History): DevicesState {
  const known = state.samples[history.uuid] ?? [];
  const bucket = (time: number) => Math.floor(time / history.bucket_s);
  const heard = new Set(known.map(({ time }) => bucket(time)));
  const means = (name: Measured) => history[name]?.mean;
  const columns = MEASURED.map((name) => [name, means(name)] as const);
  const filled = history.time.flatMap((start, i): Sample[] => {
    if (heard.has(bucket(start))) return [];
    const values = Object.fromEntries(columns.map(([name, mean]) => [name, mean?.[i] ?? null])) as Record<Measured, number | null>;
    return [{ time: start + history.bucket_s / 2, ...values }];
  });
  if (filled.length === 0) return state;
  const samples = [...filled, ...known].sort((a, b) => a.time - b.time);
  return { ...state, samples: { ...state.samples, [history.uuid]: samples } };
}

export function with_device_messages(state: DevicesState, messages: Message[], received_at: number): DevicesState {
  let next = state;
  for (const { event, data } of messages) {
    if (event === "system:metrics") next = with_devices(next, (data as { gpus: Device[] }).gpus, received_at);
    // The other events are followed by a tick, but a state is worth showing at once.
    if (event === "gpu:state" && next.gpus !== null) {
      const changed = data as Device;
      next = { ...next, gpus: next.gpus.map((gpu) => (gpu.uuid === changed.uuid ? changed : gpu)) };
    }
  }
  return next;
}

export interface MemoryParts {
  ours: number;
  others: number;
  reserved: number;
  free: number;
}

export function memory_parts(gpu: Device): MemoryParts | null {
  if (!gpu.memory_total) return null;
  const reserved = Math.min(gpu.memory_reserved ?? 0, gpu.memory_total);
  const used = Math.min(gpu.memory_used ?? 0, gpu.memory_total - reserved);
  const held = (gpu.processes ?? []).reduce((sum, one) => sum + (one.training_id ? (one.memory_used ?? 0) : 0), 0);
  const ours = Math.min(used, held);
  return { ours, others: used - ours, reserved, free: gpu.memory_total - reserved - used };
}
