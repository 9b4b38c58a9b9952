// What one device measured: buckets as the history answered them, then the live readings.
import type { Device, History, HistoryColumns, MachineEvent } from "../api/schema";
import type { PlotMarker } from "../charts/markers";
import { said } from "../said";

export const FIELDS = [
  "utilization", "memory_utilization", "memory_used", "temperature", "power_draw",
  "clocks_sm", "clocks_memory", "pcie_tx", "pcie_rx", "nvlink_tx", "nvlink_rx",
] as const;
export type Field = (typeof FIELDS)[number];

export const BUCKETS = 400; // at most

export interface Range {
  words: string;
  span_s: number;
  live: boolean; // goes on with every reading; else it is read again
}

export const RANGES: readonly Range[] = [
  { words: "5 min", span_s: 300, live: true },
  { words: "1 h", span_s: 3600, live: true },
  { words: "6 h", span_s: 6 * 3600, live: false },
  { words: "24 h", span_s: 86_400, live: false },
  { words: "7 d", span_s: 7 * 86_400, live: false },
  { words: "30 d", span_s: 30 * 86_400, live: false },
];

export interface DeviceSeries {
  bucket_s: number;
  time: number[]; // start of each bucket
  fields: Record<Field, HistoryColumns>;
  job: (string | null)[];
}

function value_of(gpu: Device, field: Field): number | undefined {
  switch (field) {
    case "clocks_sm": return gpu.clocks?.sm;
    case "clocks_memory": return gpu.clocks?.memory;
    case "pcie_tx": return gpu.pcie?.tx;
    case "pcie_rx": return gpu.pcie?.rx;
    case "nvlink_tx": return gpu.nvlink?.tx;
    case "nvlink_rx": return gpu.nvlink?.rx;
    default: return gpu[field];
  }
}

function reading_time(gpu: Device): number {
  return Date.parse(gpu.sampled_at) / 1000;
}

function no_series(bucket_s: number): DeviceSeries {
  const fields = Object.fromEntries(FIELDS.map((field) => [field, { min: [], mean: [], max: [] }])) as unknown as DeviceSeries["fields"];
  return { bucket_s, time: [], fields, job: [] };
}

type Row = (field: Field) => readonly [min: number | null, mean: number | null, max: number | null];

function ends_empty({ fields }: DeviceSeries): boolean {
  return FIELDS.every((field) => fields[field].mean.at(-1) === null);
}

function add_row(series: DeviceSeries, time: number, job: string | null, row: Row): void {
  const before = series.time.at(-1);
  // Buckets in which nothing was measured are left out: a line must not run over them.
  if (before !== undefined && time - before > 1.5 * series.bucket_s && !ends_empty(series))
    add_row(series, before + series.bucket_s, null, () => [null, null, null]);
  series.time.push(time);
  series.job.push(job);
  for (const field of FIELDS) {
    const [min, mean, max] = row(field);
    series.fields[field].min.push(min);
    series.fields[field].mean.push(mean);
    series.fields[field].max.push(max);
  }
}

function row_of(readings: readonly Device[]): Row {
  return (field) => {
    const values = readings.map((gpu) => value_of(gpu, field)).filter((value) => value !== undefined);
    if (values.length === 0) return [null, null, null];
    return [Math.min(...values), values.reduce((sum, value) => sum + value, 0) / values.length, Math.max(...values)];
  };
}

function by_bucket(readings: readonly Device[], bucket_s: number): Map<number, Device[]> {
  const buckets = new Map<number, Device[]>();
  for (const reading of readings) {
    const start = Math.floor(reading_time(reading) / bucket_s) * bucket_s;
    const bucket = buckets.get(start);
    if (bucket) bucket.push(reading);
    else buckets.set(start, [reading]);
  }
  return buckets;
}

// The history's last bucket was not over when it was asked for: no spike of its rest may be missing.
function join_last(series: DeviceSeries, row: Row): void {
  const last = series.time.length - 1;
  for (const field of FIELDS) {
    const known = series.fields[field];
    const [min, mean, max] = row(field);
    if (min === null || mean === null || max === null) continue;
    known.min[last] = Math.min(known.min[last] ?? min, min);
    known.max[last] = Math.max(known.max[last] ?? max, max);
    known.mean[last] = ((known.mean[last] ?? mean) + mean) / 2;
  }
}

// From that time on: what the history has, then the readings after it.
export function device_series(history: History, readings: readonly Device[], from: number): DeviceSeries {
  const series = no_series(history.bucket_s);
  history.time.forEach((time, i) => {
    if (time >= from - history.bucket_s)
      add_row(series, time, history.job[i] ?? null, (field) => {
        const columns = history[field];
        return [columns?.min[i] ?? null, columns?.mean[i] ?? null, columns?.max[i] ?? null];
      });
  });
  const last = history.time.at(-1) ?? -Infinity;
  for (const [time, bucket] of by_bucket(readings, history.bucket_s)) {
    if (time < from - history.bucket_s) continue;
    if (time > last) add_row(series, time, bucket.at(-1)?.current_job ?? null, row_of(bucket));
    else if (time === last) join_last(series, row_of(bucket));
  }
  return series;
}

// Finer buckets in the place of those that they are part of.
export function spliced(coarse: DeviceSeries, fine: DeviceSeries): DeviceSeries {
  const first = fine.time[0];
  const last = fine.time.at(-1);
  if (first === undefined || last === undefined) return coarse;
  const series = no_series(coarse.bucket_s);
  const add = (part: DeviceSeries, wanted: (time: number) => boolean) =>
    part.time.forEach((time, i) => {
      if (!wanted(time)) return;
      add_row(series, time, part.job[i] ?? null, (field) => {
        const { min, mean, max } = part.fields[field];
        return [min[i] ?? null, mean[i] ?? null, max[i] ?? null];
      });
    });
  add(coarse, (time) => time < first);
  add(fine, () => true);
  add(coarse, (time) => time > last);
  return series;
}

export function is_measured(series: DeviceSeries, field: Field): boolean {
  return series.fields[field].mean.some((value) => value !== null);
}

export function divided(columns: HistoryColumns, by: number): HistoryColumns {
  const all = (column: (number | null)[]) => (by === 1 ? column : column.map((value) => (value === null ? null : value / by)));
  return { min: all(columns.min), mean: all(columns.mean), max: all(columns.max) };
}

// Rates of a quiet link and of a busy one are far apart.
export function rate_unit(series: DeviceSeries, fields: readonly Field[]): { unit: string; by: number } {
  const greatest = fields.flatMap((field) => series.fields[field].max).reduce((most: number, value) => Math.max(most, value ?? 0), 0);
  return greatest >= 2 ** 30 ? { unit: "GiB/s", by: 2 ** 30 } : { unit: "MiB/s", by: 2 ** 20 };
}

export interface JobSpan {
  job: string;
  from: number;
  to: number;
}

// Which job held it when; buckets that follow each other are one span.
export function job_spans({ time, job, bucket_s }: DeviceSeries): JobSpan[] {
  const spans: JobSpan[] = [];
  time.forEach((start, i) => {
    const held = job[i];
    if (!held) return;
    const last = spans.at(-1);
    if (last?.job === held && start - last.to < bucket_s) last.to = start + bucket_s;
    else spans.push({ job: held, from: start, to: start + bucket_s });
  });
  return spans;
}

const TINTS = 4;

// A job has one, wherever it is; a new one differs from its neighbour.
export function job_tints(spans: readonly JobSpan[]): Map<string, number> {
  const tints = new Map<string, number>();
  let before = -1;
  let next = 0;
  for (const { job } of spans) {
    let tint = tints.get(job);
    if (tint === undefined) {
      if (next === before) next = (next + 1) % TINTS;
      tint = next;
      next = (next + 1) % TINTS;
      tints.set(job, tint);
    }
    before = tint;
  }
  return tints;
}

const TONES = { info: "quiet", warning: "wait", error: "bad" } as const;

export function event_markers(events: readonly MachineEvent[], from: number, to: number): PlotMarker[] {
  return events
    .map(({ time, message, over, severity }): PlotMarker => {
      const at = Date.parse(time);
      return { x: at / 1000, label: said(message, at), tone: over ? "good" : TONES[severity] };
    })
    .filter(({ x }) => x >= from && x <= to)
    .sort((a, b) => a.x - b.x);
}
