// Devices to choose from: whether they can be chosen, and who holds them.
import type { Device, DeviceProcess } from "../api/schema";
import { gib } from "../format";

export function by_index(devices: readonly Device[]): Device[] {
  return [...devices].sort((a, b) => a.index - b.index);
}

// As the server's short names: CPU slots are counted by themselves.
export function short_name(devices: readonly Device[], device: Device): string {
  const is_slot = (one: Device) => one.kind === "cpu";
  const before = devices.filter((one) => is_slot(one) === is_slot(device) && one.index < device.index).length;
  return `${is_slot(device) ? "cpu" : "gpu"}:${before}`;
}

export const is_held = ({ availability }: Device) => availability === "leased" || availability === "foreign";

// What was chosen can always be given up again. Only who waits can want what somebody else holds.
export function can_toggle(device: Device, chosen: boolean, busy_too: boolean): boolean {
  return chosen || device.availability === "free" || (busy_too && is_held(device));
}

// Why it cannot be chosen beside those that are: a MIG instance reaches no other device. null: it can.
export function alone_words(device: Device, chosen: readonly Device[]): string | null {
  if (chosen.length === 0 || chosen.includes(device)) return null;
  if (device.kind === "mig") return "A MIG instance trains alone: it cannot join what is chosen.";
  return chosen.some(({ kind }) => kind === "mig") ? "What is chosen is a MIG instance, which trains alone." : null;
}

export function missing_memory(device: Device, required: number | undefined): number | undefined {
  if (required === undefined || device.memory_free === undefined || device.memory_free >= required) return undefined;
  return required - device.memory_free;
}

const LONGEST = 60; // of a command

function shortened(command: string): string {
  return command.length > LONGEST ? `${command.slice(0, LONGEST)}…` : command;
}

export function process_words({ pid, user, command, memory_used }: DeviceProcess): string {
  const who = user ?? "somebody";
  return `${who}: ${shortened(command ?? "a process")} (pid ${pid})${memory_used === undefined ? "" : `, ${gib(memory_used)}`}`;
}

export function strangers(device: Device): DeviceProcess[] {
  return (device.processes ?? []).filter(({ training_id }) => training_id === undefined);
}

// The model, where all have the same.
export function common_model(devices: readonly Device[]): string | null {
  const models = new Set(devices.map(({ name }) => name));
  return models.size === 1 ? [...models][0]! : null;
}

// Changes when another choice may be the better one; not with each sample.
export function situation(devices: readonly Device[], required: number | undefined): string {
  return devices.map((one) => `${one.uuid} ${one.availability} ${one.current_job ?? ""} ${missing_memory(one, required) === undefined}`).join("\n");
}
