// The columns that uPlot draws: x, and of every curve its line, the same smoothed, and the edges of its band.
import type { View } from "./group";
import { type Column, smoothed } from "./smooth";

export interface CurveData {
  mean: Column;
  min?: Column | undefined;
  max?: Column | undefined;
}

export interface Layer {
  curve: number;
  kind: "line" | "smooth" | "max" | "min";
}

export function has_band({ mean, min, max }: CurveData): boolean {
  return min !== undefined && max !== undefined && !(min === mean && max === mean);
}

export function layers(curves: readonly CurveData[], smoothing: number): Layer[] {
  return curves.flatMap((one, curve): Layer[] => [
    ...(has_band(one) ? ([{ curve, kind: "max" }, { curve, kind: "min" }] as Layer[]) : []),
    { curve, kind: "line" },
    ...(smoothing > 0 ? ([{ curve, kind: "smooth" }] as Layer[]) : []),
  ]);
}

// What has no logarithm is a gap.
export function positive(column: Column): Column {
  return column.some((value) => value !== null && value <= 0) ? column.map((value) => (value !== null && value > 0 ? value : null)) : column;
}

// Columns are handed on as they are wherever nothing in them changes.
export function drawn_columns(
  x: number[], curves: readonly CurveData[], { log_x, log_y, smoothing }: Pick<View, "log_x" | "log_y" | "smoothing">,
): [number[], ...Column[]] {
  // Found from the left: almost all begin at 1 or nearly so.
  const first = log_x ? x.findIndex((at) => at >= 1) : 0;
  const cut = <Item>(column: Item[]) => (first === 0 ? column : first < 0 ? [] : column.slice(first));
  const columns = layers(curves, smoothing).map(({ curve, kind }) => {
    const one = curves[curve] as CurveData;
    const column = kind === "smooth" ? smoothed(x, one.mean, smoothing) : kind === "line" ? one.mean : (one[kind] as Column);
    return cut(log_y ? positive(column) : column);
  });
  return [cut(x), ...columns];
}
