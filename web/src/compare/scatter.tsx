// What each run explains with how many latents: lower and further left is better. Its numbers are in the table below.
import { useRef } from "react";
import { metric } from "../format";
import { use_width } from "../parts/use_width";
import { type Point, pareto_front, point_of } from "./results";
import { type Area, place_labels, place_of, type Scale, scale_of } from "./scatter_layout";
import type { Run } from "./use_runs";

const HEIGHT = 320;
const LETTER = 6.6; // px of a label's character, about
const LONGEST = 26; // characters

// As paths around 0, 0: told apart without their color.
const SHAPES = [
  "M0-6A6 6 0 1 1 0 6 6 6 0 1 1 0-6z",
  "M-5.5-5.5h11v11h-11z",
  "M0-7 6.5 5.5h-13z",
  "M0-7.5 6.5 0 0 7.5-6.5 0z",
  "M0 7-6.5-5.5h13z",
  "M-2-7h4v5h5v4h-5v5h-4v-5h-5v-4h5z",
  "M-6-3.5-3.5-6 0-2.5 3.5-6 6-3.5 2.5 0 6 3.5 3.5 6 0 2.5-3.5 6-6 3.5-2.5 0z",
  "M0-7.5 7.1-2.3 4.4 6.1h-8.8l-2.7-8.4z",
];

export function Mark({ run }: { run: Run }) {
  return (
    <svg className="mark" viewBox="-8 -8 16 16" width="16" height="16" aria-hidden="true">
      <path d={SHAPES[run.shape % SHAPES.length]} fill={`var(${run.look.color})`} />
    </svg>
  );
}

function Axes({ x, y, area }: { x: Scale; y: Scale; area: Area }) {
  const bottom = area.top + area.height;
  const at = (l0: number, fvu: number) => place_of({ l0, fvu }, x, y, area);
  return (
    <g className="axes">
      {x.ticks.map((tick) => (
        <g key={tick} transform={`translate(${at(tick, y.from).x} 0)`}>
          <line y1={area.top} y2={bottom} />
          <text y={bottom + 18} textAnchor="middle">
            {metric(tick)}
          </text>
        </g>
      ))}
      {y.ticks.map((tick) => (
        <g key={tick} transform={`translate(0 ${at(x.from, tick).y})`}>
          <line x1={area.left} x2={area.left + area.width} />
          <text x={area.left - 8} y={4} textAnchor="end">
            {metric(tick)}
          </text>
        </g>
      ))}
      <text x={area.left + area.width / 2} y={bottom + 38} textAnchor="middle">
        L0 (latents)
      </text>
      <text transform={`translate(14 ${area.top + area.height / 2}) rotate(-90)`} textAnchor="middle">
        FVU
      </text>
    </g>
  );
}

interface Shown {
  run: Run;
  point: Point;
}

function Picture({ shown, width }: { shown: Shown[]; width: number }) {
  const area: Area = { left: 64, top: 12, width: width - 76, height: HEIGHT - 64 };
  const x = scale_of(shown.map(({ point }) => point.l0), Math.max(3, Math.floor(area.width / 80)));
  const y = scale_of(shown.map(({ point }) => point.fvu), 5);
  const at = shown.map(({ point }) => place_of(point, x, y, area));
  const words = shown.map(({ run: { label } }) => (label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label));
  const labels = place_labels(at, words.map((label) => label.length * LETTER), area);
  const front = pareto_front(shown.map(({ point }) => point));
  return (
    <svg width={width} height={HEIGHT} role="img" aria-label="FVU against L0 of each run">
      <Axes x={x} y={y} area={area} />
      {front.length > 1 && <polyline className="front" points={front.map((i) => `${at[i]?.x},${at[i]?.y}`).join(" ")} />}
      {shown.map(({ run }, i) => (
        <path key={run.training.id} d={SHAPES[run.shape % SHAPES.length]} fill={`var(${run.look.color})`}
          transform={`translate(${at[i]?.x} ${at[i]?.y})`}>
          <title>{run.name}</title>
        </path>
      ))}
      {labels.map((label, i) => label && (
        <text key={i} className="label" x={label.x} y={label.y} textAnchor={label.anchor}>
          {words[i]}
        </text>
      ))}
    </svg>
  );
}

export function Scatter({ runs }: { runs: Run[] }) {
  const place = useRef<HTMLDivElement>(null);
  const width = use_width(place);
  const shown = runs.flatMap((run): Shown[] => {
    const point = point_of(run.training.metrics);
    return point === null ? [] : [{ run, point }];
  });
  return (
    <section className="card scatter" aria-labelledby="scatter">
      <h2 id="scatter">FVU against L0</h2>
      <div ref={place}>{width > 150 && shown.length > 0 && <Picture shown={shown} width={width} />}</div>
      {shown.length === 0 ? (
        <p className="small">No run has measured both yet.</p>
      ) : (
        <p className="small">
          <svg className="swatch" viewBox="0 0 26 4" width="26" height="4" aria-hidden="true">
            <line className="front" x2="26" y1="2" y2="2" />
          </svg>{" "}
          The Pareto front: no other run has both fewer latents and less unexplained.
        </p>
      )}
    </section>
  );
}
