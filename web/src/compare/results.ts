// What the runs came to, and which of them is best at what.
import type { MetricCatalog } from "../api/schema";

export type Direction = "down" | "up" | "none";
type Value = number | null | undefined;

const known = (value: Value): value is number => typeof value === "number" && Number.isFinite(value);

// Places of the best values; none where nothing is better than anything else.
export function best_of(values: readonly Value[], direction: Direction): number[] {
  const all = values.filter(known);
  if (direction === "none" || all.length < 2) return [];
  const best = direction === "down" ? Math.min(...all) : Math.max(...all);
  if (all.every((value) => value === best)) return [];
  return values.flatMap((value, i) => (value === best ? [i] : []));
}

export function direction_of(catalog: MetricCatalog, name: string): Direction {
  return catalog.data.find((row) => row.name === name)?.direction ?? "none";
}

export interface Point {
  l0: number;
  fvu: number;
}

// Places of those that no other one beats at both, by l0: fewer latents, less that is unexplained.
export function pareto_front(points: readonly (Point | null)[]): number[] {
  const beats = (a: Point, b: Point) => a.l0 <= b.l0 && a.fvu <= b.fvu && (a.l0 < b.l0 || a.fvu < b.fvu);
  const there = points.flatMap((point, i) => (point === null ? [] : [{ point, i }]));
  return there
    .filter(({ point }) => !there.some((other) => beats(other.point, point)))
    .sort((a, b) => a.point.l0 - b.point.l0)
    .map(({ i }) => i);
}

export function point_of(metrics: Readonly<Record<string, number | null>>): Point | null {
  const { l0, fvu } = metrics;
  return known(l0) && known(fvu) ? { l0, fvu } : null;
}
