// The devices as last heard of, and the utilization of the last minutes.
import type { Device } from "../api/schema";
import type { Message } from "./connection";

const KEPT = 120; // samples of each device

export interface DevicesState {
  gpus: readonly Device[] | null; // null: nothing was heard yet
  received_at: number; // ms
  utilization: Readonly<Record<string, readonly number[]>>; // by uuid
}

export const NO_DEVICES: DevicesState = { gpus: null, received_at: 0, utilization: {} };

export function with_devices(state: DevicesState, gpus: readonly Device[], now: number): DevicesState {
  const utilization: Record<string, readonly number[]> = {};
  for (const gpu of gpus)
    utilization[gpu.uuid] = [...(state.utilization[gpu.uuid] ?? []), gpu.utilization ?? 0].slice(-KEPT);
  return { gpus, received_at: now, utilization };
}

export function with_device_messages(state: DevicesState, messages: Message[], now: number): DevicesState {
  let next = state;
  for (const { event, data } of messages) {
    if (event === "system:metrics") next = with_devices(next, (data as { gpus: Device[] }).gpus, now);
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
