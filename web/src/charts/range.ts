// Ranges of x and of y, as arithmetic.
export type Range = readonly [number, number];

export function union(ranges: Iterable<Range | null>): Range | null {
  let all: Range | null = null;
  for (const range of ranges)
    if (range !== null) all = all === null ? range : [Math.min(all[0], range[0]), Math.max(all[1], range[1])];
  return all;
}

// On a logarithmic axis distances are factors.
function mapped(range: Range, log: boolean, change: (from: number, to: number) => Range): Range {
  if (!log) return change(range[0], range[1]);
  const [from, to] = change(Math.log10(range[0]), Math.log10(range[1]));
  return [10 ** from, 10 ** to];
}

// factor < 1: closer; `at` stays where it is (0: the left edge, 1: the right one).
export function zoomed(range: Range, factor: number, at = 0.5, log = false): Range {
  return mapped(range, log, (from, to) => {
    const fixed = from + at * (to - from);
    return [fixed - factor * (fixed - from), fixed + factor * (to - fixed)];
  });
}

// By a part of what is shown; > 0: to what is later.
export function panned(range: Range, part: number, log = false): Range {
  return mapped(range, log, (from, to) => [from + part * (to - from), to + part * (to - from)]);
}

const LEAST_APART = 0.08; // of two fingers: above each other they would zoom without end

// What was below the fingers is below them again; one finger only moves. Places are parts of the width.
export function stretched(range: Range, before: readonly number[], now: readonly number[], log = false): Range {
  const middle = (at: readonly number[]) => at.reduce((sum, one) => sum + one, 0) / at.length;
  const apart = (at: readonly number[]) => (at.length < 2 ? 1 : Math.max(LEAST_APART, (at[1] as number) - (at[0] as number)));
  return mapped(range, log, (from, to) => {
    const width = ((to - from) * apart(before)) / apart(now);
    const left = from + middle(before) * (to - from) - middle(now) * width;
    return [left, left + width];
  });
}

// What may be shown: nothing narrower than `least`, nothing wider than all of it; null: all of it.
export function within(range: Range, all: Range, least: number): Range | null {
  const width = Math.max(range[1] - range[0], least);
  if (width >= all[1] - all[0]) return null;
  const middle = (range[0] + range[1]) / 2;
  const from = Math.min(Math.max(range[1] - range[0] < least ? middle - width / 2 : range[0], all[0]), all[1] - width);
  return [from, from + width];
}

export interface YBounds {
  from_zero: boolean;
  most: number | undefined;
}

function loose(least: number, greatest: number): Range {
  // What never changes, but by rounding, is a line in the middle, what is always 0 one at the bottom.
  const is_flat = greatest - least <= 1e-9 * Math.max(Math.abs(least), Math.abs(greatest));
  if (is_flat) return least === 0 ? [0, 1] : [Math.min(0, 2 * least), Math.max(0, 2 * least)];
  const room = (greatest - least) * 0.08;
  return [least >= 0 ? Math.max(0, least - room) : least - room, greatest + room];
}

// Of a linear y axis, by the least and the greatest that is shown; null: there is nothing.
export function y_range(least: number | null, greatest: number | null, { from_zero, most }: YBounds): Range {
  if (least === null || greatest === null) return [0, most ?? 1];
  const [from, to] = loose(from_zero ? Math.min(0, least) : least, from_zero ? Math.max(0, greatest) : greatest);
  return [from, most !== undefined && greatest <= most ? most : to];
}
