// How uPlot draws one figure.
import uPlot from "uplot";
import { type CurveData, has_band, type Layer, layers } from "./data";
import type { View, PlotAxis } from "./group";
import { y_range } from "./range";
import { elapsed_label, ELAPSED_STEPS, log_ticks, step_label, time_labels, y_label } from "./ticks";

export const HEIGHT = 200;
const FONT = '12px system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif';
const Y_WIDTH = 68; // of all, so that charts below each other are aligned
const RIGHT = { step: 26, activations: 26, elapsed: 26, time: 38 }; // half of the widest label of the x axis; a time's may have the day below it

export interface Figure {
  axis: PlotAxis;
  sync: string;
  view: View;
  curves: readonly (CurveData & { color: string; dash?: number[] | undefined; hidden: boolean })[];
  color(name: string): string;
  label: ((value: number) => string) | undefined; // of the y axis
  binary: boolean;
  y_min_zero: boolean;
  y_max: number | undefined;
}

export interface Answers {
  selected(plot: uPlot): void;
  pointed(): void;
  drawn(plot: uPlot): void;
  pressed(plot: uPlot, event: MouseEvent): boolean; // true: it is no selection
  doubled(): void;
  visible(): boolean;
}

const DAY = 86400;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY];
const POWERS_OF_TWO = Array.from({ length: 60 }, (_, i) => 2 ** i);

function faded(color: string, alpha: number): string {
  return color.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);
}

// A point that has no neighbour would not be seen.
function lone_points(plot: uPlot, index: number): number[] | null {
  const column = plot.data[index] as (number | null)[];
  const [from, to] = plot.series[index]?.idxs ?? [0, -1];
  const found: number[] = [];
  for (let i = from; i <= to; i += 1)
    if (column[i] != null && column[i - 1] == null && column[i + 1] == null) found.push(i);
  return found.length > 0 ? found : null;
}

function series_of(figure: Figure, { curve, kind }: Layer): uPlot.Series {
  const look = figure.curves[curve] as Figure["curves"][number];
  const stroke = figure.color(look.color);
  // A band of one point is narrower than the eye; its edges are not.
  const edge = figure.view.smoothing > 0 ? 0.2 : 0.4;
  if (kind === "max" || kind === "min") return { show: !look.hidden, stroke, width: 1, alpha: edge, points: { show: false } };
  const faint = kind === "line" && figure.view.smoothing > 0;
  return {
    show: !look.hidden,
    stroke,
    width: kind === "smooth" ? 2 : 1.6,
    alpha: faint ? 0.35 : 1,
    ...(look.dash && !faint && { dash: look.dash }),
    points: { show: false, filter: lone_points, size: 5, stroke, fill: stroke },
  };
}

function bands_of(figure: Figure, order: readonly Layer[]): uPlot.Band[] {
  const alpha = figure.curves.length > 1 ? 0.13 : 0.2;
  return order.flatMap(({ curve, kind }, i) => {
    const look = figure.curves[curve] as Figure["curves"][number];
    if (kind !== "max" || !has_band(look)) return [];
    return [{ series: [i + 1, i + 2] as [number, number], fill: faded(figure.color(look.color), alpha) }];
  });
}

function scales_of({ axis, view, y_min_zero, y_max }: Figure): uPlot.Scales {
  const log = (on: boolean) => ({ distr: on ? 3 : 1 }) as const;
  return {
    x: { time: axis === "time", range: (_, from, to) => [from, to], ...log(view.log_x) },
    y: {
      ...log(view.log_y),
      range: (_, least, greatest) => {
        if (!view.log_y) return [...y_range(least, greatest, { from_zero: y_min_zero, most: y_max })];
        return least === null || greatest === null || !(least > 0) ? [0.1, 1] : uPlot.rangeLog(least, greatest, 10, false);
      },
    },
  };
}

function axes_of({ axis, view, color, label, binary }: Figure): uPlot.Axis[] {
  const look = { stroke: color("--quiet"), font: FONT, grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  const by_log: Partial<uPlot.Axis> = { splits: (_, __, from, to) => log_ticks(from, to), filter: (_, ticks) => ticks };
  const x_labels = (ticks: number[], distance: number) =>
    axis === "time" ? time_labels(ticks, distance) : ticks.map(axis === "elapsed" ? elapsed_label : step_label);
  const y_words = (value: number, distance: number) => (label ? label(value) : y_label(value, distance));
  // On a logarithmic axis each label is told from the nearest, and never finer than itself.
  const y_labels = (ticks: number[], distance: number) => {
    const least = Math.min(...ticks.slice(1).map((tick, i) => tick - (ticks[i] as number)));
    return ticks.map((tick) => y_words(tick, view.log_y ? Math.min(least, tick) : distance));
  };
  return [
    {
      ...look, size: axis === "time" ? 44 : 32, space: axis === "time" ? 60 : 64, ...(view.log_x && by_log),
      ...(axis === "time" && { incrs: SECONDS }),
      ...(axis === "elapsed" && { incrs: ELAPSED_STEPS }),
      values: (_, ticks, __, ___, distance) => x_labels(ticks, distance),
    },
    {
      ...look, size: Y_WIDTH, space: 34, ...(binary && { incrs: POWERS_OF_TWO }), ...(view.log_y && by_log),
      values: (_, ticks, __, ___, distance) => y_labels(ticks, distance),
    },
  ];
}

function cursor_of(figure: Figure, order: readonly Layer[], answers: Answers): uPlot.Cursor {
  const main = figure.view.smoothing > 0 ? "smooth" : "line";
  const is_main = (index: number) => order[index - 1]?.kind === main;
  const color = (_: uPlot, index: number) => figure.color(figure.curves[order[index - 1]?.curve ?? 0]?.color ?? "--accent");
  // Only where the cursor is concerns the others; a selection becomes the range of all by itself.
  const moves = (type: string) => type === "mousemove" || type === "mouseleave";
  const heard = (type: string) => type === "mouseleave" || (type === "mousemove" && answers.visible());
  return {
    y: false,
    drag: { x: true, y: false, setScale: false, dist: 5 },
    points: {
      show: ((_: uPlot, index: number) => (is_main(index) ? document.createElement("div") : undefined)) as uPlot.Cursor.Points.Show,
      size: 7, fill: color, stroke: color,
    },
    sync: { key: figure.sync, setSeries: false, scales: ["x", null], filters: { pub: moves, sub: heard } },
    bind: {
      mousedown: (plot, _, handler) => (event) => (answers.pressed(plot, event) ? null : handler(event)),
      dblclick: () => () => {
        answers.doubled();
        return null;
      },
    },
  };
}

export function options(figure: Figure, width: number, answers: Answers): uPlot.Options {
  const order = layers(figure.curves, figure.view.smoothing);
  return {
    width,
    height: HEIGHT,
    padding: [8, RIGHT[figure.axis], 0, 0],
    legend: { show: false },
    scales: scales_of(figure),
    axes: axes_of(figure),
    series: [{}, ...order.map((layer) => series_of(figure, layer))],
    bands: bands_of(figure, order),
    cursor: cursor_of(figure, order, answers),
    hooks: {
      setSelect: [(plot) => answers.selected(plot)],
      setCursor: [() => answers.pointed()],
      draw: [(plot) => answers.drawn(plot)],
    },
  };
}
