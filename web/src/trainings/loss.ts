// The loss of one training in as many points as a sparkline shows, extended by what comes live.
import type { TrainingSeries } from "../api/schema";

export const BUCKETS = 60;

export interface LossPoint {
  step: number;
  loss: number;
}

export function points_of(series: TrainingSeries): LossPoint[] {
  const mean = series.series["loss"]?.mean ?? [];
  return series.step.flatMap((step, i) => {
    const loss = mean[i];
    return typeof loss === "number" ? [{ step, loss }] : [];
  });
}

// Two become one, so that the line stays short however long the run is.
function thinned(points: LossPoint[]): LossPoint[] {
  return points.filter((_, i) => i % 2 === 0 || i === points.length - 1);
}

// After a rewind the steps from there on come again.
export function with_point(points: LossPoint[], point: LossPoint): LossPoint[] {
  if (points.at(-1)?.step === point.step) return points;
  const next = [...points.filter(({ step }) => step < point.step), point];
  return next.length > 2 * BUCKETS ? thinned(next) : next;
}

// As the points of a polyline in 100 x 100. Losses fall fast and then slowly, so by their logarithm.
export function line_of(points: LossPoint[]): string {
  const first = points[0];
  const last = points.at(-1);
  if (first === undefined || last === undefined || first === last) return "";
  const height = points.every(({ loss }) => loss > 0) ? Math.log : (loss: number) => loss;
  const heights = points.map(({ loss }) => height(loss));
  const least = Math.min(...heights);
  const span = Math.max(...heights) - least || 1;
  return points
    .map(({ step }, i) => {
      const x = (100 * (step - first.step)) / (last.step - first.step);
      const y = 100 - (100 * ((heights[i] ?? least) - least)) / span;
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}
