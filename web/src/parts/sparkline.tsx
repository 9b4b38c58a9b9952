// Percent over the last samples, newest at the right. The number is beside it.
export function Sparkline({ values, room }: { values: readonly number[]; room: number }) {
  const points = values.map((value, i) => `${room - values.length + i},${100 - Math.min(100, value)}`).join(" ");
  return (
    <svg className="sparkline" viewBox={`0 -2 ${room - 1} 104`} preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points} fill="none" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
