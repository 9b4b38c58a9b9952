// How the curves of one plot are told apart: by color and by dash pattern, never by color alone.
export const COLORS = 8; // of more curves not all would be told apart at a glance
const DASHES: readonly (number[] | undefined)[] = [undefined, [8, 4], [2, 3], [10, 3, 2, 3]];

export interface Look {
  color: string; // CSS variable
  dash?: number[];
}

export function curve_look(index: number): Look {
  const dash = DASHES[(index + Math.floor(index / COLORS)) % DASHES.length];
  return { color: `--curve-${(index % COLORS) + 1}`, ...(dash && { dash }) };
}
