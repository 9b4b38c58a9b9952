// What an estimate says, in parts and words.
import type { Estimate, MemoryBreakdown } from "../api/schema";
import { count, metric } from "../format";

type Speed = Pick<Estimate, "activations_per_second" | "efficiency" | "based_on">;

const PARTS: readonly [keyof MemoryBreakdown, string][] = [
  ["weights", "weights"],
  ["moments", "Adam moments"],
  ["gradients", "gradients"],
  ["copies", "operand copies"],
  ["batch", "batch"],
  ["selection", "selection"],
  ["exchange", "exchange"],
  ["context", "context"],
  ["loader", "loader"],
];

export interface Segment {
  part: keyof MemoryBreakdown;
  words: string;
  bytes: number;
}

export function segments_of(breakdown: MemoryBreakdown): Segment[] {
  return PARTS.map(([part, words]) => ({ part, words, bytes: breakdown[part] })).filter(({ bytes }) => bytes > 0);
}

export function batch_words({ batch }: Estimate): string {
  const micro = batch.micro_batches === 1 ? "in one piece" : `in ${count(batch.micro_batches)} micro batches`;
  return `${count(batch.global)} activations a step; ${count(batch.per_device)} on each device, ${micro}`;
}

export function speed_words(speed: Speed): string {
  if (speed.activations_per_second === undefined) return "no run to learn from yet";
  const efficiency = speed.efficiency === undefined ? "" : `, ${(100 * speed.efficiency).toFixed(0)} % efficiency`;
  const learned = speed.based_on === undefined ? "" : `; learned from ${count(speed.based_on)} earlier ${speed.based_on === 1 ? "run" : "runs"}`;
  return `${metric(speed.activations_per_second)} activations/s${efficiency}${learned}`;
}

// The whole run; s.
export function whole_time(steps: number | undefined, batch: number, speed: Speed): number | undefined {
  if (steps === undefined || !speed.activations_per_second) return undefined;
  return (steps * batch) / speed.activations_per_second;
}
