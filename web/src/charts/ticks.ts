// What is written along the axes and under the cursor. Times are in the reader's zone.
import { clock_of, count, day_of, duration, metric, moment } from "../format";
import type { PlotAxis } from "./group";

// The day is written below the first label, and where it changes; with its year only where that is not known yet.
export function time_labels(times: readonly number[], distance: number): string[] {
  let before = "";
  return times.map((time) => {
    const date = new Date(time * 1000);
    const day = day_of(date);
    const short = day.slice(0, 5) === before.slice(0, 5) ? day.slice(5) : day;
    const words = distance >= 86400 ? "" : clock_of(date, distance < 60);
    const label = day === before ? words : words === "" ? short : `${words}\n${short}`;
    before = day;
    return label;
  });
}

// 1200000 as 1.2M: labels of an axis have little room.
export function step_label(step: number): string {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]] as const)
    if (step >= size) return `${Number((step / (unit === "k" ? 1e3 : size)).toPrecision(4))}${unit}`;
  return Number.isInteger(step) ? count(step) : String(step);
}

export function x_words(axis: PlotAxis, x: number): string {
  if (axis === "time") return moment(x);
  if (axis === "elapsed") return `after ${duration(x)}`;
  return axis === "step" ? `step ${count(Math.round(x))}` : `${count(Math.round(x))} activations`;
}

// 5400 as 1.5 h.
export function elapsed_label(seconds: number): string {
  const [size, unit] = seconds >= 3600 ? [3600, "h"] : seconds >= 60 ? [60, "min"] : [1, "s"];
  return `${Number((seconds / size).toPrecision(3))} ${unit}`;
}

// Distances between labels that are round in their unit.
export const ELAPSED_STEPS = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => 60 * minutes),
  ...[1, 2, 3, 6, 12, 24, 48, 120, 240].map((hours) => 3600 * hours),
];

// As few digits as tell the labels apart: one more than the place of their distance, which may be 2.5.
export function y_label(value: number, distance: number): string {
  const size = Math.abs(value);
  const place = Math.floor(Math.log10(distance) + 1e-9); // of the last digit that differs
  if (value === 0) return "0";
  if (size >= 1e6 || size < 1e-3) {
    const digits = Math.floor(Math.log10(size) + 1e-9) - place;
    return value.toExponential(Math.min(3, Math.max(0, digits))).replace("e+", "e");
  }
  return size >= 1e4 ? metric(value) : String(Number(value.toFixed(Math.min(6, Math.max(0, 1 - place)))));
}

function nice(distance: number): number {
  const power = 10 ** Math.floor(Math.log10(distance));
  return power * ([1, 2, 5].find((one) => one * power >= distance * 0.999) ?? 10);
}

// On a logarithmic axis: powers of ten, with 2 and 5 where they are few, and even steps within less than one.
export function log_ticks(from: number, to: number, most = 6): number[] {
  const decades = Math.log10(to / from);
  const ticks: number[] = [];
  if (decades < 1) {
    const step = nice((to - from) / Math.max(1, most - 1));
    for (let i = Math.ceil(from / step - 1e-9); i * step <= to * (1 + 1e-9); i += 1) ticks.push(Number((i * step).toPrecision(12)));
    return ticks;
  }
  const digits = decades * 3 <= most ? [1, 2, 5] : [1];
  const stride = digits.length > 1 ? 1 : Math.ceil(decades / most);
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to) + 1e-9; power += stride)
    for (const digit of digits) {
      const tick = Number(`${digit}e${power}`);
      if (tick >= from * (1 - 1e-9) && tick <= to * (1 + 1e-9)) ticks.push(tick);
    }
  return ticks;
}
