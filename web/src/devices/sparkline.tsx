// A curve over the last minutes, newest at the right. The number is beside it.
import { type Point, spark_path } from "./points";

export function Sparkline({ points, now, most }: { points: readonly Point[]; now: number; most: number }) {
  return (
    <svg className="sparkline" viewBox="0 -3 100 106" preserveAspectRatio="none" aria-hidden="true">
      <path d={spark_path(points, now, most)} fill="none" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
