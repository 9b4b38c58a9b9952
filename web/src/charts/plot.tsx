// A figure of curves over steps or time. What it shows is drawn by a Drawing; React keeps the words around it.
import * as Popover from "@radix-ui/react-popover";
import { memo, useCallback, useEffect, useId, useRef, useState } from "react";
import { useStore } from "zustand";
import { ABSENT, metric } from "../format";
import { use_theme } from "../theme";
import { series_csv } from "./csv";
import { Drawing } from "./drawing";
import { type ChartGroup, follow } from "./group";
import { marker_list, type PlotMarker } from "./markers";
import type { Column } from "./smooth";
import { summary, summary_words } from "./summary";
import "../styles/charts.css";

export interface PlotCurve {
  label: string;
  color: string; // CSS variable: --curve-1 to --curve-8, --accent
  dash?: number[];
  mean: Column;
  min?: Column; // with max: of what a point stands for, drawn as a band
  max?: Column;
}

interface Props {
  title: string;
  help?: string;
  unit?: string; // beside the title, and of the numbers of the y axis
  format?: (value: number) => string; // a value with its unit; absent: four digits and the unit
  binary?: boolean; // labels of the y axis at powers of two, for bytes
  group: ChartGroup;
  x: number[]; // ascending
  curves: PlotCurve[];
  markers?: PlotMarker[]; // ascending
  extent?: readonly [number, number]; // of x while following, where the data does not reach it
  y_min_zero?: boolean;
  y_max?: number; // of the axis, unless a value is greater
  legend?: boolean; // absent: where there are several curves
  main?: string; // the curve that the words under the title are about; absent: about all of them
}

const NO_MARKERS: PlotMarker[] = [];

function download(title: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "_")}.csv`;
  link.click();
  // The browser has its own hold on it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const Help = memo(function Help({ title, words }: { title: string; words: string }) {
  return (
    <Popover.Root>
      <Popover.Trigger className="plain" aria-label={`What ${title} is`}>
        ?
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="chart-help card" sideOffset={4} collisionPadding={12} aria-label={title}>
          {words}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
});

function Swatch({ color, dash }: Pick<PlotCurve, "color" | "dash">) {
  return (
    <svg className="swatch" viewBox="0 0 26 4" width="26" height="4" aria-hidden="true">
      <line x1="0" y1="2" x2="26" y2="2" stroke={`var(${color})`} strokeWidth="2.5" strokeDasharray={dash?.join(" ")} />
    </svg>
  );
}

interface LegendProps {
  place: React.Ref<HTMLUListElement>;
  curves: PlotCurve[];
  hidden: ReadonlySet<string>;
  toggle: (label: string) => void;
}

function same_legend(a: LegendProps, b: LegendProps): boolean {
  const same = (one: PlotCurve, i: number) => one.label === b.curves[i]?.label && one.color === b.curves[i]?.color;
  return a.hidden === b.hidden && a.curves.length === b.curves.length && a.curves.every(same);
}

// New values of the same curves change nothing in it.
const Legend = memo(function Legend({ place, curves, hidden, toggle }: LegendProps) {
  return (
    <ul className="legend" ref={place} aria-label="Curves">
      {curves.map(({ label, color, dash }) => (
        <li key={label}>
          <button type="button" aria-pressed={!hidden.has(label)} onClick={() => toggle(label)}>
            <Swatch color={color} {...(dash && { dash })} />
            {label}
            <span data-value="" className="number" aria-hidden="true" />
          </button>
        </li>
      ))}
    </ul>
  );
}, same_legend);

function use_hidden(): [ReadonlySet<string>, (label: string) => void] {
  const [hidden, set_hidden] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback((label: string) => {
    set_hidden((known) => {
      const next = new Set(known);
      if (!next.delete(label)) next.add(label);
      return next;
    });
  }, []);
  return [hidden, toggle];
}

function has_legend({ curves, legend = curves.length > 1 }: Props): boolean {
  return legend;
}

function use_drawing(props: Props, say: (value: number) => string, hidden: ReadonlySet<string>) {
  const { group, x, curves, markers = NO_MARKERS, extent, unit, format, binary = false, y_min_zero = false, y_max } = props;
  const canvas = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const legend = useRef<HTMLUListElement>(null);
  const drawing = useRef<Drawing | null>(null);
  const known = curves.map((one) => ({ ...one, hidden: hidden.has(one.label) }));
  const label = unit ? undefined : format;
  const shown = { x, curves: known, markers, extent, say, bare: format ?? metric, label, binary, y_min_zero, y_max };
  const latest = useRef(shown);
  latest.current = shown;
  const [from, to] = extent ?? [];
  // What changes a picture; the curves by their columns, since the list is made anew by every render.
  const columns = curves.map(({ mean }) => mean);
  const labels = curves.map(({ label }) => label).join("\n");

  const with_legend = has_legend(props);
  useEffect(() => {
    if (canvas.current === null || readout.current === null) return;
    const made = new Drawing({ canvas: canvas.current, readout: readout.current, legend: legend.current }, group);
    drawing.current = made;
    made.show(latest.current);
    return () => {
      drawing.current = null;
      made.destroy();
    };
  }, [group, with_legend]);
  const before = useRef<Column[]>([]);
  const same = before.current.length === columns.length && columns.every((column, i) => column === before.current[i]);
  if (!same) before.current = columns;
  useEffect(() => drawing.current?.show(latest.current), [x, before.current, labels, markers, from, to, hidden]);
  const drawn = use_theme((state) => state.drawn);
  useEffect(() => drawing.current?.recolor(), [drawn]);
  return { canvas, readout, legend };
}

export function Plot(props: Props) {
  const { title, help, unit, format, group, x, curves, markers = NO_MARKERS } = props;
  const name = useId();
  const [hidden, toggle] = use_hidden();
  const zoomed = useStore(group.view, ({ range }) => range !== null);
  const say = format ?? ((value: number) => (unit ? `${metric(value)} ${unit}` : metric(value)));
  const { canvas, readout, legend } = use_drawing(props, say, hidden);
  const events = marker_list(markers);
  const told = props.main === undefined ? curves : curves.filter(({ label }) => label === props.main);
  return (
    <figure className="card chart" aria-labelledby={name}>
      <figcaption>
        <h3 id={name}>
          {title} {unit && <small>{unit}</small>}
        </h3>
        {zoomed ? <button type="button" className="plain" onClick={() => follow(group)}>show all</button> : <span />}
        {help ? <Help title={title} words={help} /> : <span />}
        <button type="button" className="plain" aria-label={`Download ${title} as CSV`} title="Download as CSV"
          onClick={() => download(title, series_csv(group.axis, x, curves, unit))}>
          CSV
        </button>
        <p className="small number values">
          <span>{summary_words(told.map(summary), format ?? metric, format ? "" : unit) ?? ABSENT}</span>
          <span ref={readout} className="readout" aria-hidden="true" />
        </p>
      </figcaption>
      <div ref={canvas} className="canvas" aria-hidden="true" />
      {has_legend(props) && <Legend place={legend} curves={curves} hidden={hidden} toggle={toggle} />}
      {events.length > 0 && (
        <ul className="hidden" aria-label="Events">
          {events.map((words, i) => (
            <li key={i}>{words}</li>
          ))}
        </ul>
      )}
    </figure>
  );
}
