// From times to steps, by what the metrics say of when each step was.
import type { PlotAxis } from "../charts/group";
import type { Range } from "../charts/range";
import type { Curves } from "../live/series";

export interface Clock {
  step: readonly number[];
  time: readonly number[];
}

// A run is at step 0 when it starts, which is before its first metrics.
export function clock_of({ step, time }: Pick<Curves, "step" | "time">, started: number | null): Clock {
  const first = time[0];
  if (started === null || first === undefined || started >= first || (step[0] as number) <= 0) return { step, time };
  return { step: [0, ...step], time: [started, ...time] };
}

// On the line between the two neighbours; null: before the first or after the last.
export function step_at({ step: y, time: x }: Clock, at: number): number | null {
  if (x.length === 0 || at < (x[0] as number) || at > (x.at(-1) as number)) return null;
  let from = 0;
  let to = x.length - 1;
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if ((x[middle] as number) <= at) from = middle;
    else to = middle;
  }
  const [x0, x1, y0, y1] = [x[from], x[to], y[from], y[to]] as [number, number, number, number];
  return x1 === x0 ? y1 : y0 + ((at - x0) / (x1 - x0)) * (y1 - y0);
}

// The steps of a range of times; what lies beyond the ends ends there.
export function steps_of(clock: Clock, [from, to]: Range): Range {
  const first = clock.step[0] ?? 0;
  const last = clock.step.at(-1) ?? 0;
  const step = (time: number) => step_at(clock, time) ?? (time < (clock.time[0] ?? 0) ? first : last);
  return [step(from), step(to)];
}

// The steps that a range of an axis shows of a run; null: it has no place there. batch: activations of one step.
export function steps_shown(axis: PlotAxis, [from, to]: Range, curves: Curves, batch: number | null): Range | null {
  if (axis === "step") return [from, to];
  if (axis === "activations") return batch === null ? null : [from / batch, to / batch];
  const start = axis === "elapsed" ? (curves.time[0] ?? 0) : 0;
  return steps_of(clock_of(curves, null), [start + from, start + to]);
}
