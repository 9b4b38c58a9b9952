// The curves of one training: buckets as REST answered them, then the lines that came live.
import type { RunEvent, TrainingSeries } from "../api/schema";

export const CURVES = ["loss", "fvu", "l0", "dead_fraction"] as const;
export type Curve = (typeof CURVES)[number];
export type Column = (number | null)[];

export interface Curves {
  step: number[];
  columns: Record<Curve, { min: Column; mean: Column; max: Column }>;
}

export function curves_of(series: TrainingSeries): Curves {
  const empty = () => series.step.map(() => null);
  const column = (name: Curve) => series.series[name] ?? { min: empty(), mean: empty(), max: empty() };
  return {
    step: series.step,
    columns: Object.fromEntries(CURVES.map((name) => [name, column(name)])) as Curves["columns"],
  };
}

export function with_lines(curves: Curves, lines: RunEvent[]): Curves {
  const last = curves.step.at(-1) ?? -1;
  const step = [...curves.step];
  const added: RunEvent[] = [];
  for (const line of lines) {
    if (line.event !== "metrics" || (line["step"] as number) <= (step.at(-1) ?? last)) continue;
    step.push(line["step"] as number);
    added.push(line);
  }
  if (added.length === 0) return curves;
  const columns = { ...curves.columns };
  for (const name of CURVES) {
    const values = added.map((line) => (line["values"] as Record<string, number | null>)[name] ?? null);
    const { min, mean, max } = columns[name];
    columns[name] = { min: [...min, ...values], mean: [...mean, ...values], max: [...max, ...values] };
  }
  return { step, columns };
}

// The last value, and the least and the greatest of all.
export function summary(curves: Curves, name: Curve): { last: number; least: number; greatest: number } | null {
  const { min, mean, max } = curves.columns[name];
  const known = (column: Column) => column.filter((value): value is number => value !== null);
  const last = known(mean).at(-1);
  if (last === undefined) return null;
  const least = known(min).reduce((a, b) => Math.min(a, b), last);
  return { last, least, greatest: known(max).reduce((a, b) => Math.max(a, b), last) };
}
