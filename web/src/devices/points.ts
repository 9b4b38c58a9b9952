// Curves of the last minutes: of one device, and of all together.
import type { Measured, Sample } from "../live/devices_state";

const SHOWN_S = 5 * 60;
const GAP_S = 12; // more than a bucket of the history is a gap
const STEP_S = 5;

export interface Point {
  time: number;
  value: number | null;
}

// The mean of what was measured in each of `count` columns; null: nothing was.
export function means_of(samples: readonly Sample[], name: Measured, column_of: (time: number) => number, count: number): (number | null)[] {
  const sums = new Float64Array(count);
  const counts = new Uint32Array(count);
  for (const sample of samples) {
    const column = column_of(sample.time);
    const value = sample[name];
    if (column < 0 || column >= count || value === null) continue;
    sums[column]! += value;
    counts[column]! += 1;
  }
  return Array.from(sums, (sum, i) => (counts[i] ? sum / counts[i] : null));
}

export function recent_points(samples: readonly Sample[] | undefined, name: Measured, now: number): Point[] {
  return (samples ?? []).filter(({ time }) => time >= now - SHOWN_S).map((sample) => ({ time: sample.time, value: sample[name] }));
}

type How = "mean" | "sum" | "max";

const OF_ALL: Record<How, (values: number[]) => number> = {
  sum: (values) => values.reduce((sum, value) => sum + value, 0),
  mean: (values) => OF_ALL.sum(values) / values.length,
  max: (values) => Math.max(...values),
};

// Of each 5 s, the means of the devices taken together. What no device told is a gap.
export function points_of_all(all: Readonly<Record<string, readonly Sample[]>>, name: Measured, now: number, how: How): Point[] {
  const first = Math.floor((now - SHOWN_S) / STEP_S);
  const count = Math.floor(now / STEP_S) - first + 1;
  const means = Object.values(all).map((samples) => means_of(samples, name, (time) => Math.floor(time / STEP_S) - first, count));
  return Array.from({ length: count }, (_, i) => {
    const values = means.map((row) => row[i] ?? null).filter((value) => value !== null);
    return { time: (first + i + 0.5) * STEP_S, value: values.length > 0 ? OF_ALL[how](values) : null };
  });
}

// As the path of an SVG of 100 x 100: the time from left to right, 0 at the bottom, `most` at the top.
export function spark_path(points: readonly Point[], now: number, most: number): string {
  let path = "";
  let before: number | null = null; // time of the point that the line comes from
  for (const { time, value } of points) {
    if (value === null) {
      before = null;
      continue;
    }
    const x = Math.min(100, 100 * (1 - (now - time) / SHOWN_S));
    const y = 100 * (1 - Math.min(1, value / most));
    const at = `${x.toFixed(2)} ${y.toFixed(1)}`;
    // A point between gaps is a dot: a line of no length with round ends.
    path += before !== null && time - before <= GAP_S ? `L${at}` : `M${at}h0`;
    before = time;
  }
  return path;
}
