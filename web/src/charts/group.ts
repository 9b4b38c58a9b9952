// What the charts of a page share: the x axis, what of it is shown, and how.
import { useId, useState } from "react";
import { createStore, type StoreApi } from "zustand/vanilla";
import { panned, type Range, union, within, zoomed } from "./range";

export type XAxis = "step" | "time"; // time: epoch seconds
export type PlotAxis = XAxis | "activations" | "elapsed"; // where several runs are beside each other; elapsed: seconds of each

export interface View {
  range: Range | null; // of x; null: follows the data
  log_x: boolean;
  log_y: boolean;
  smoothing: number; // 0 to 0.99
}

// A chart, as the others of its group know it.
export interface Member {
  extent: Range | null; // of its x
  changed(): void; // the extent of all
  visible(): boolean;
}

export interface ChartGroup {
  axis: PlotAxis;
  sync: string;
  view: StoreApi<View>;
  members: Set<Member>;
}

export function chart_group(axis: PlotAxis, sync: string, view: Partial<View> = {}): ChartGroup {
  const start = { range: null, log_x: false, log_y: false, smoothing: 0, ...view };
  return { axis, sync, view: createStore<View>(() => start), members: new Set() };
}

// Another axis has another range; the rest of the view stays as it is.
export function use_chart_group(axis: PlotAxis): ChartGroup {
  const id = useId();
  const [group, set_group] = useState(() => chart_group(axis, `${id} ${axis}`));
  if (group.axis === axis) return group;
  const { log_y, smoothing } = group.view.getState();
  const next = chart_group(axis, `${id} ${axis}`, { log_y, smoothing });
  set_group(next);
  return next;
}

// 10 steps or 5 seconds: there is nothing to see in less.
const LEAST: Record<PlotAxis, number> = { step: 10, time: 5, activations: 1000, elapsed: 5 };

// Steps begin at 1 on a logarithmic axis; what is one point has room around it.
export function full_range(group: ChartGroup): Range | null {
  const log = group.view.getState().log_x;
  const all = union([...group.members].map(({ extent }) => extent));
  if (all === null) return null;
  const from = log ? Math.max(1, all[0]) : all[0];
  if (group.axis === "time") return [from, Math.max(all[1], from + LEAST.time)];
  if (all[1] > from) return [from, all[1]];
  return log ? [from / 2, from * 2] : [from - 1, from + 1];
}

export function shown_range(group: ChartGroup): Range | null {
  return group.view.getState().range ?? full_range(group);
}

export function show_range(group: ChartGroup, range: Range): void {
  const all = full_range(group);
  if (all === null) return;
  const wanted: Range = group.view.getState().log_x ? [Math.max(1, range[0]), range[1]] : range;
  group.view.setState({ range: within(wanted, all, Math.min(LEAST[group.axis], (all[1] - all[0]) / 2)) });
}

export function follow(group: ChartGroup): void {
  group.view.setState({ range: null });
}

export function zoom(group: ChartGroup, factor: number, at?: number): void {
  const range = shown_range(group);
  if (range !== null) show_range(group, zoomed(range, factor, at, group.view.getState().log_x));
}

export function pan(group: ChartGroup, part: number): void {
  const { range, log_x } = group.view.getState();
  if (range !== null) show_range(group, panned(range, part, log_x));
}

const PERIOD_MS = 250;
const DRAWN_PER_S = 32; // of all figures of the group together

// How long a figure waits before it draws what is new: four times a second, and less often where many are seen.
export function period_ms(group: ChartGroup): number {
  const seen = [...group.members].filter((member) => member.visible()).length;
  return Math.max(PERIOD_MS, (1000 * seen) / DRAWN_PER_S);
}
