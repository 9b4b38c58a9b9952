// One curve over steps: the mean as a line, least and greatest of each bucket as a band. Drag to zoom,
// double-click to see all. All charts of a page share the cursor.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { metric } from "../format";
import { type Curve, type Curves, summary } from "../live/series";
import { use_theme } from "../theme";

const HEIGHT = 190;

// A canvas knows no variables.
function color_of(host: HTMLElement, name: string): string {
  host.style.color = `var(${name})`;
  const { color } = getComputedStyle(host);
  host.style.color = "";
  return color;
}

// What never changes is a line in the middle, what is always 0 one at the bottom.
function range_of(least: number | null, greatest: number | null): uPlot.Range.MinMax {
  if (least === null || greatest === null) return [0, 1];
  if (least === greatest) return least === 0 ? [0, 1] : [Math.min(0, 2 * least), Math.max(0, 2 * least)];
  const [from, to] = uPlot.rangeNum(least, greatest, 0.1, true);
  return [least >= 0 ? Math.max(0, from ?? 0) : from, to];
}

function options(host: HTMLElement, on_zoom: (zoomed: boolean) => void): uPlot.Options {
  const line = color_of(host, "--accent");
  const axis = { stroke: color_of(host, "--quiet"), grid: { stroke: color_of(host, "--line"), width: 1 }, ticks: { show: false } };
  const band = { stroke: "transparent", points: { show: false } };
  return {
    width: host.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: "training" }, points: { size: 7 } },
    scales: { x: { time: false }, y: { range: (_, least, greatest) => range_of(least, greatest) } },
    axes: [
      { ...axis, size: 34, values: (_, steps) => steps.map((step) => metric(step)) },
      { ...axis, size: 62, values: (_, values) => values.map((value) => metric(value)) },
    ],
    series: [{}, { stroke: line, width: 1.6, points: { show: false } }, band, band],
    bands: [{ series: [3, 2], fill: line.replace("rgb(", "rgba(").replace(")", ", 0.22)") }],
    hooks: {
      setSelect: [(plot) => on_zoom(plot.select.width > 0)],
    },
  };
}

function data_of(curves: Curves, name: Curve): uPlot.AlignedData {
  const { min, mean, max } = curves.columns[name];
  return [curves.step, mean, min, max];
}

function Readout({ curves, name }: { curves: Curves; name: Curve }) {
  const found = summary(curves, name);
  if (found === null) return null;
  return (
    <span className="small number">
      now {metric(found.last)} · from {metric(found.least)} to {metric(found.greatest)}
    </span>
  );
}

export function Chart({ title, help, curves, name }: { title: string; help: string; curves: Curves; name: Curve }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const zoomed = useRef(false);
  const latest = useRef(curves);
  latest.current = curves;
  const drawn = use_theme((state) => state.drawn);

  useEffect(() => {
    const place = host.current;
    if (place === null) return;
    const made = new uPlot(options(place, (now) => (zoomed.current = now)), data_of(latest.current, name), place);
    plot.current = made;
    const all = () => (zoomed.current = false);
    made.over.addEventListener("dblclick", all);
    const resized = new ResizeObserver(() => made.setSize({ width: place.clientWidth, height: HEIGHT }));
    resized.observe(place);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [name, drawn]);

  useEffect(() => plot.current?.setData(data_of(curves, name), !zoomed.current), [curves, name]);

  return (
    <figure className="card chart" aria-label={title}>
      <figcaption>
        <h2 title={help}>{title}</h2>
        <Readout curves={curves} name={name} />
      </figcaption>
      <div ref={host} aria-hidden="true" />
    </figure>
  );
}
