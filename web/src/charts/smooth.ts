// The exponential moving average of TensorBoard (vz_line_chart2, resmoothDataset): it starts at 0, and is divided by the
// weights that it has seen (debiased), so that its first values are means of what there is. As in W&B's time weighted
// one, a value weighs by its distance to the one before, here in units of the usual distance: evenly spaced values give
// exactly TensorBoard's, and a curve of buckets goes on smoothly with the single steps that came live.
export type Column = (number | null)[];

const SAMPLES = 101;

// The median distance of neighbours, of a sample of them.
export function usual_distance(x: readonly number[]): number {
  const stride = Math.max(1, Math.floor(x.length / SAMPLES));
  const distances: number[] = [];
  for (let i = 1; i < x.length; i += stride) distances.push((x[i] as number) - (x[i - 1] as number));
  distances.sort((a, b) => a - b);
  return distances[distances.length >> 1] || 1;
}

export function smoothed(x: readonly number[], values: Column, weight: number): Column {
  const usual = usual_distance(x);
  const result: Column = new Array<number | null>(values.length);
  let sum = 0;
  let seen = 0;
  let before = (x[0] ?? 0) - usual;
  let distance = usual;
  let kept = weight;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i] ?? null;
    result[i] = null;
    if (value === null) continue;
    const at = x[i] as number;
    if (at - before !== distance) {
      distance = at - before;
      kept = weight ** (distance / usual);
    }
    before = at;
    sum = sum * kept + (1 - kept) * value;
    seen = seen * kept + (1 - kept);
    // Of a distance of nearly nothing nothing is seen.
    result[i] = seen > 0 ? sum / seen : value;
  }
  return result;
}
