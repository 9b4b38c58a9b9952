// The same metric of several ranks on one axis.
import type { HistoryColumns } from "../api/schema";
import type { Curves } from "../live/series";

export interface RankCurves {
  step: number[];
  time: number[];
  columns: (HistoryColumns | null)[]; // of each rank; null: it does not report this one
}

export function reported_by_ranks(ranks: readonly Curves[]): string[] {
  return [...new Set(ranks.flatMap(({ columns }) => Object.keys(columns)))];
}

export function by_rank(ranks: readonly Curves[], name: string): RankCurves {
  const times = new Map<number, number>();
  for (const { step, time } of ranks) step.forEach((at, i) => times.set(at, Math.max(times.get(at) ?? 0, time[i] as number)));
  const step = [...times.keys()].sort((a, b) => a - b);
  const place = new Map(step.map((at, i) => [at, i]));
  const columns = ranks.map((rank) => {
    const known = rank.columns[name];
    if (known === undefined) return null;
    const spread = (values: (number | null)[]) => {
      const column = new Array<number | null>(step.length).fill(null);
      rank.step.forEach((at, i) => (column[place.get(at) as number] = values[i] ?? null));
      return column;
    };
    return { min: spread(known.min), mean: spread(known.mean), max: spread(known.max) };
  });
  let latest = 0;
  return { step, time: step.map((at) => (latest = Math.max(latest, times.get(at) as number))), columns };
}
