// The heat map: means of each device over short times, and how a value becomes a color.
import type { Device } from "../api/schema";
import { ABSENT } from "../format";
import { KEPT_S, type Measured, type Sample } from "../live/devices_state";
import { means_of } from "./points";

export const COLUMN_S = 5;
export const COLUMNS = KEPT_S / COLUMN_S;

export const HEATS = ["Utilization", "Memory", "Temperature", "Power"] as const;
export type Heat = (typeof HEATS)[number];

interface HeatField {
  name: Measured;
  unit: string;
  least: number;
  greatest: number; // where the devices tell no limit
}

const HEAT_FIELDS: Record<Heat, HeatField> = {
  Utilization: { name: "utilization", unit: "%", least: 0, greatest: 100 },
  Memory: { name: "memory_used", unit: "%", least: 0, greatest: 100 },
  Temperature: { name: "temperature", unit: "°C", least: 20, greatest: 100 },
  Power: { name: "power_draw", unit: "W", least: 0, greatest: 100 },
};

export interface HeatScale {
  least: number;
  greatest: number;
}

export type HeatRow = readonly (number | null)[]; // oldest first

export function heat_scale(heat: Heat, gpus: readonly Device[]): HeatScale {
  const { least, greatest } = HEAT_FIELDS[heat];
  if (heat !== "Power") return { least, greatest };
  return { least, greatest: gpus.reduce((most, gpu) => Math.max(most, gpu.power_limit ?? gpu.power_draw ?? 0), greatest) };
}

// Memory is told as its share.
function heat_value(heat: Heat, value: number | null | undefined, gpu: Device): number | null {
  if (value === null || value === undefined) return null;
  if (heat !== "Memory") return value;
  return gpu.memory_total ? (100 * value) / gpu.memory_total : null;
}

export function heat_now(heat: Heat, gpu: Device): number | null {
  return heat_value(heat, gpu[HEAT_FIELDS[heat].name], gpu);
}

// Start of the first of the columns that end with the one of `now`; epoch seconds.
export function first_column(now: number): number {
  return (Math.floor(now / COLUMN_S) - COLUMNS + 1) * COLUMN_S;
}

export function heat_row(heat: Heat, gpu: Device, samples: readonly Sample[], first: number): HeatRow {
  const column_of = (time: number) => Math.floor((time - first) / COLUMN_S);
  return means_of(samples, HEAT_FIELDS[heat].name, column_of, COLUMNS).map((mean) => heat_value(heat, mean, gpu));
}

export function heat_words(heat: Heat, value: number | null | undefined): string {
  return value === null || value === undefined ? ABSENT : `${value.toFixed(0)} ${HEAT_FIELDS[heat].unit}`;
}

// Between stops of equal distance, each [red, green, blue].
export function mixed(stops: readonly (readonly number[])[], { least, greatest }: HeatScale, value: number): string {
  const at = (Math.min(1, Math.max(0, (value - least) / (greatest - least))) || 0) * (stops.length - 1);
  const below = Math.min(Math.floor(at), stops.length - 2);
  const parts = [0, 1, 2].map((i) => {
    const [from = 0, to = 0] = [stops[below]?.[i], stops[below + 1]?.[i]];
    return Math.round(from + (to - from) * (at - below));
  });
  return `rgb(${parts.join(" ")})`;
}

export interface Cell {
  row: number;
  column: number;
}

// Where an arrow key leads; null: another key.
export function moved({ row, column }: Cell, key: string, rows: number): Cell | null {
  const held = (value: number, count: number) => Math.min(count - 1, Math.max(0, value));
  const to = (down: number, right: number) => ({ row: held(row + down, rows), column: held(column + right, COLUMNS) });
  if (key === "ArrowUp") return to(-1, 0);
  if (key === "ArrowDown") return to(1, 0);
  if (key === "ArrowLeft") return to(0, -1);
  if (key === "ArrowRight") return to(0, 1);
  if (key === "PageUp") return to(0, -60 / COLUMN_S);
  if (key === "PageDown") return to(0, 60 / COLUMN_S);
  if (key === "Home") return to(0, -COLUMNS);
  if (key === "End") return to(0, COLUMNS);
  return null;
}
