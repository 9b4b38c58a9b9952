// A figure in words.
import type { CsvCurve } from "./csv";

export interface Summary {
  last: number;
  least: number;
  greatest: number;
}

export function summary({ mean, min = mean, max = mean }: Omit<CsvCurve, "label">): Summary | null {
  let last: number | null = null;
  for (let i = mean.length - 1; i >= 0 && last === null; i -= 1) last = mean[i] ?? null;
  if (last === null) return null;
  let least = last;
  let greatest = last;
  for (const value of min) if (value !== null && value < least) least = value;
  for (const value of max) if (value !== null && value > greatest) greatest = value;
  return { last, least, greatest };
}

// Of all curves together; a unit that is not yet in the words of a value comes once, at the end.
export function summary_words(found: readonly (Summary | null)[], say: (value: number) => string, unit = ""): string | null {
  const known = found.filter((one) => one !== null);
  if (known.length === 0) return null;
  const of = (pick: (one: Summary) => number, choose: (...values: number[]) => number) => say(choose(...known.map(pick)));
  const low = of(({ last }) => last, Math.min);
  const high = of(({ last }) => last, Math.max);
  const now = low === high ? low : `${low} to ${high}`;
  return `now ${now} · from ${of(({ least }) => least, Math.min)} to ${of(({ greatest }) => greatest, Math.max)}${unit && ` ${unit}`}`;
}
