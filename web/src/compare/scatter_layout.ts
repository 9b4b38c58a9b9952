// Where things are in the picture of L0 and FVU.
import type { Point } from "./results";

export interface Scale {
  from: number;
  to: number;
  ticks: number[];
}

const STEPS = [1, 2, 2.5, 5, 10];

// Round ticks, at most as many as asked for, and the range that they span.
export function scale_of(values: readonly number[], most: number): Scale {
  const least = Math.min(...values);
  const greatest = Math.max(...values);
  const span = greatest - least || Math.abs(greatest) || 1;
  const room = span * 0.12;
  const from = least >= 0 ? Math.max(0, least - room) : least - room;
  const to = greatest + room;
  const power = 10 ** Math.floor(Math.log10((to - from) / most));
  const step = power * (STEPS.find((one) => (to - from) / (one * power) <= most) ?? 10);
  const first = Math.ceil(from / step - 1e-9);
  const count = Math.floor(to / step + 1e-9) - first + 1;
  return { from, to, ticks: Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12))) };
}

export interface Place {
  x: number;
  y: number;
}

export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

export function place_of({ l0, fvu }: Point, x: Scale, y: Scale, area: Area): Place {
  return {
    x: area.left + (area.width * (l0 - x.from)) / (x.to - x.from),
    y: area.top + area.height * (1 - (fvu - y.from) / (y.to - y.from)),
  };
}

export interface Label extends Place {
  anchor: "start" | "end" | "middle";
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const HIGH = 15; // px of a line of text
const AWAY = 11; // from the middle of a point

function candidates({ x, y }: Place): Label[] {
  return [
    // What falls to the right leaves room at the right and below.
    { x: x + AWAY, y: y + 4, anchor: "start" },
    { x, y: y + AWAY + 9, anchor: "middle" },
    { x, y: y - AWAY, anchor: "middle" },
    { x: x - AWAY, y: y + 4, anchor: "end" },
  ];
}

function box_of({ x, y, anchor }: Label, width: number): Box {
  const left = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
  return { left, right: left + width, top: y - HIGH + 3, bottom: y + 3 };
}

const overlap = (a: Box, b: Box) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

// Beside each point, where it hides neither a point nor another label; null: there is no such place.
export function place_labels(points: readonly Place[], widths: readonly number[], area: Area): (Label | null)[] {
  const taken: Box[] = points.map(({ x, y }) => ({ left: x - 7, right: x + 7, top: y - 7, bottom: y + 7 }));
  return points.map((point, i) => {
    const found = candidates(point).find((label) => {
      const box = box_of(label, widths[i] ?? 0);
      const inside = box.left >= area.left && box.right <= area.left + area.width && box.top >= area.top && box.bottom <= area.top + area.height;
      return inside && !taken.some((other) => overlap(box, other));
    });
    if (found === undefined) return null;
    taken.push(box_of(found, widths[i] ?? 0));
    return found;
  });
}
