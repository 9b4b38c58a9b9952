// The curves of one training: buckets as REST answered them, then the lines that came live.
import type { HistoryColumns, RunEvent, TrainingSeries } from "../api/schema";
import type { Column } from "../charts/smooth";

export interface Curves {
  step: number[]; // ascending
  time: number[]; // of each step, never falling; epoch seconds
  columns: Readonly<Record<string, HistoryColumns>>; // by metric, of all that the run reports
  exact: boolean; // every point is one step
}

export const NO_CURVES: Curves = { step: [], time: [], columns: {}, exact: true };

// Clocks are set back now and then; an axis goes forward.
function rising(times: readonly number[], from = -Infinity): number[] {
  let latest = from;
  return times.map((time) => (latest = Math.max(latest, time)));
}

// Of single steps, least and greatest are the mean: the same array says that there is no band.
function columns_of({ min, mean, max }: HistoryColumns, exact: boolean): HistoryColumns {
  return exact ? { min: mean, mean, max: mean } : { min, mean, max };
}

export function curves_of({ step, time, series, exact }: TrainingSeries): Curves {
  const known = Object.entries(series).filter(([, { mean }]) => mean.some((value) => value !== null));
  const columns = Object.fromEntries(known.map(([name, one]) => [name, columns_of(one, exact)]));
  return { step, time: rising(time), columns, exact };
}

function cut(curves: Curves, from: number, to: number): Curves {
  if (from === 0 && to === curves.step.length) return curves;
  const part = (column: Column) => column.slice(from, to);
  const columns = Object.entries(curves.columns).map(([name, { min, mean, max }]) => {
    const short = part(mean);
    const bounds = min === mean && max === mean ? { min: short, max: short } : { min: part(min), max: part(max) };
    return [name, { ...bounds, mean: short }] as const;
  });
  return { ...curves, step: curves.step.slice(from, to), time: curves.time.slice(from, to), columns: Object.fromEntries(columns) };
}

function place_after(steps: readonly number[], step: number): number {
  let from = 0;
  let to = steps.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((steps[middle] as number) > step) to = middle;
    else from = middle + 1;
  }
  return from;
}

type Values = Readonly<Record<string, number | null>>;

// {"values": {name: of all ranks}, "ranks": {name: [of each]}}
function values_of(line: RunEvent, rank: number | undefined): Values {
  if (rank === undefined) return line["values"] as Values;
  const ranks = Object.entries((line["ranks"] ?? {}) as Record<string, Column>);
  return Object.fromEntries(ranks.map(([name, of_each]) => [name, of_each[rank] ?? null]));
}

function with_added(curves: Curves, lines: readonly RunEvent[], rank: number | undefined): Curves {
  if (lines.length === 0) return curves;
  const values = lines.map((line) => values_of(line, rank));
  const names = new Set([...Object.keys(curves.columns), ...values.flatMap(Object.keys)]);
  const columns: Record<string, HistoryColumns> = {};
  for (const name of names) {
    const added = values.map((one) => one[name] ?? null);
    const known = curves.columns[name] ?? columns_of({ min: [], mean: curves.step.map(() => null), max: [] }, true);
    const mean = [...known.mean, ...added];
    const same = known.min === known.mean && known.max === known.mean;
    columns[name] = same ? { min: mean, mean, max: mean } : { min: [...known.min, ...added], mean, max: [...known.max, ...added] };
  }
  const times = lines.map((line) => Date.parse(line["time"] as string) / 1000);
  const last = curves.time.at(-1) ?? 0;
  return {
    ...curves,
    step: [...curves.step, ...lines.map((line) => line["step"] as number)],
    time: [...curves.time, ...rising(times.map((time) => (Number.isNaN(time) ? last : time)), last)],
    columns,
  };
}

// Lines in the order in which they came; of all ranks together, or of one. After a rewind steps come again.
export function with_lines(curves: Curves, lines: readonly RunEvent[], rank?: number): Curves {
  let next = curves;
  let added: RunEvent[] = [];
  let last = curves.step.at(-1) ?? -1;
  for (const line of lines) {
    const step = line["step"];
    if (typeof step !== "number") continue;
    if (line.event === "metrics" && step > last) {
      added.push(line);
      last = step;
    } else if (line.event === "rewind") {
      next = with_added(next, added, rank);
      next = cut(next, 0, place_after(next.step, step));
      added = [];
      last = next.step.at(-1) ?? -1;
    }
  }
  return with_added(next, added, rank);
}

// Those that the answer does not have. It was asked for after the last rewind: what came before that is over.
export function not_in(curves: Curves, lines: RunEvent[]): RunEvent[] {
  const last = curves.step.at(-1) ?? -1;
  const rewind = lines.map(({ event }) => event).lastIndexOf("rewind");
  return lines.slice(rewind + 1).filter((line) => (line["step"] as number) > last);
}

// Finer buckets in the place of those that they stand for.
export function spliced(coarse: Curves, fine: Curves): Curves {
  const first = fine.step[0];
  const last = fine.step.at(-1);
  if (first === undefined || last === undefined) return coarse;
  const parts = [cut(coarse, 0, place_after(coarse.step, first - 1)), fine, cut(coarse, place_after(coarse.step, last), coarse.step.length)];
  const names = new Set(parts.flatMap((part) => Object.keys(part.columns)));
  const joined = (name: string, kind: keyof HistoryColumns) =>
    parts.flatMap((part) => part.columns[name]?.[kind] ?? part.step.map(() => null));
  const of = (name: string) => ({ min: joined(name, "min"), mean: joined(name, "mean"), max: joined(name, "max") });
  return {
    step: parts.flatMap(({ step }) => step),
    time: rising(parts.flatMap(({ time }) => time)),
    columns: Object.fromEntries([...names].map((name) => [name, of(name)])),
    exact: false,
  };
}
