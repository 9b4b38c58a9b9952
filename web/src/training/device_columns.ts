// What the devices of a training measured while they were its own, all on one grid of times.
import type { History, HistoryColumns } from "../api/schema";
import type { Measured, Sample } from "../live/devices_state";
import { type Clock, step_at } from "./times";

export interface Measurements {
  x: number[];
  columns: HistoryColumns[]; // of each history
}

interface Cell {
  min: number;
  max: number;
  sum: number;
  count: number;
}

type Cells = Map<number, Cell>; // by the number of the bucket

function cells_of(history: History, field: Measured, training: string): Cells {
  const cells: Cells = new Map();
  const columns = history[field];
  history.time.forEach((time, i) => {
    const mean = columns?.mean[i];
    // Between two attempts it may have been somebody else's.
    if (mean == null || history.job[i] !== training) return;
    cells.set(Math.floor(time / history.bucket_s), { min: columns?.min[i] ?? mean, max: columns?.max[i] ?? mean, sum: mean, count: 1 });
  });
  return cells;
}

// The newest bucket goes on with what comes live.
function add_samples(cells: Cells, samples: readonly Sample[], field: Measured, bucket_s: number, since: number): void {
  for (const sample of samples) {
    const value = sample[field];
    if (value === null || sample.time <= since) continue;
    const place = Math.floor(sample.time / bucket_s);
    const cell = cells.get(place);
    if (cell === undefined) cells.set(place, { min: value, max: value, sum: value, count: 1 });
    else {
      cell.min = Math.min(cell.min, value);
      cell.max = Math.max(cell.max, value);
      cell.sum += value;
      cell.count += 1;
    }
  }
}

function aligned(cells: Cells, places: readonly number[]): HistoryColumns {
  const found = places.map((place) => cells.get(place));
  return {
    min: found.map((cell) => cell?.min ?? null),
    mean: found.map((cell) => (cell === undefined ? null : cell.sum / cell.count)),
    max: found.map((cell) => cell?.max ?? null),
  };
}

// Histories were asked for with the same times, so their buckets are the same; `live` are the samples since, of each.
export function measurements(
  histories: readonly History[], live: readonly (readonly Sample[])[], field: Measured, training: string, asked_at: number,
): Measurements {
  const bucket_s = Math.max(1, ...histories.map((history) => history.bucket_s));
  const tables = histories.map((history, i) => {
    const cells = cells_of({ ...history, bucket_s }, field, training);
    add_samples(cells, live[i] ?? [], field, bucket_s, asked_at);
    return cells;
  });
  const places = [...new Set(tables.flatMap((cells) => [...cells.keys()]))].sort((a, b) => a - b);
  return { x: places.map((place) => (place + 0.5) * bucket_s), columns: tables.map((cells) => aligned(cells, places)) };
}

// On the axis of steps; what lies before the first or after the last is at none.
export function by_step({ x, columns }: Measurements, clock: Clock): Measurements {
  const steps = x.map((time) => step_at(clock, time));
  const known = steps.flatMap((step, i) => (step === null ? [] : [i]));
  const pick = (column: (number | null)[]) => known.map((i) => column[i] ?? null);
  return {
    x: known.map((i) => steps[i] as number),
    columns: columns.map(({ min, mean, max }) => ({ min: pick(min), mean: pick(mean), max: pick(max) })),
  };
}
