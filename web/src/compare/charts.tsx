// A figure for each metric, with all runs in it.
import { useEffect, useMemo, useState } from "react";
import type { MetricCatalog, Training } from "../api/schema";
import { CHART_HELP, ChartControls } from "../charts/controls";
import { type ChartGroup, use_chart_group } from "../charts/group";
import { Plot, type PlotCurve } from "../charts/plot";
import { batched } from "../live/batch";
import type { Curves } from "../live/series";
import { Segments } from "../parts/segments";
import { figure_of } from "../training/figures";
import { use_curves, use_zoomed } from "../training/use_curves";
import { AXES, batch_of, joined, onto, places, type RunAxis } from "./overlay";
import type { Run } from "./use_runs";

const PERIOD_MS = 1000; // all runs are joined anew for each picture
const FIRST_METRICS = ["loss", "fvu", "l0", "dead_fraction", "lr", "activations_per_second"];

interface Read {
  curves: Curves | null;
  metrics: readonly string[] | null; // that it has anywhere, whatever the charts are zoomed to; null: not read
  problem: string | null;
}

interface ReaderProps {
  training: Training;
  group: ChartGroup;
  tell: (read: [string, Read]) => void;
}

// A hook for each of a changing number of runs: a component that shows nothing.
function Reader({ training, group, tell }: ReaderProps) {
  const { id } = training;
  const { curves: all, problem } = use_curves(id);
  const curves = use_zoomed(id, all, group, batch_of(training));
  useEffect(() => tell([id, { curves, metrics: all ? Object.keys(all.columns) : null, problem }]), [id, all, curves, problem, tell]);
  return null;
}

function use_read(): [Readonly<Record<string, Read>>, (read: [string, Read]) => void] {
  const [read, set_read] = useState<Readonly<Record<string, Read>>>({});
  const tell = useMemo(() => batched<[string, Read]>((all) => set_read((known) => ({ ...known, ...Object.fromEntries(all) })), PERIOD_MS), []);
  return [read, tell];
}

interface Overlay {
  x: number[];
  curves: Record<string, PlotCurve[]>; // by metric
}

function overlay_of(runs: Run[], read: Readonly<Record<string, Read>>, axis: RunAxis, metrics: readonly string[]): Overlay {
  const known = runs.flatMap((run) => {
    const curves = read[run.training.id]?.curves;
    return curves ? [{ run, curves, own: places(curves, axis, batch_of(run.training)) }] : [];
  });
  const x = joined(known.map(({ own }) => own));
  const curves_of = (metric: string) =>
    known.flatMap(({ run: { label, look }, curves, own }): PlotCurve[] => {
      const found = curves.columns[metric];
      if (found === undefined || own.length === 0) return [];
      const mean = onto(x, own, found.mean);
      if (found.min === found.mean) return [{ label, ...look, mean }];
      return [{ label, ...look, mean, min: onto(x, own, found.min), max: onto(x, own, found.max) }];
    });
  return { x, curves: Object.fromEntries(metrics.map((metric) => [metric, curves_of(metric)])) };
}

const AXIS_WORDS: Record<RunAxis, string> = { step: "steps", activations: "activations seen", elapsed: "time since its first step" };

interface Props {
  runs: Run[];
  catalog: MetricCatalog;
  axis: RunAxis;
  choose_axis: (axis: RunAxis) => void;
  metrics: readonly string[]; // beside the first ones
  add_metric: (name: string) => void;
  remove_metric: (name: string) => void;
}

// What some run has. While one was not read, everything may come.
function has_values(runs: Run[], read: Readonly<Record<string, Read>>): (metric: string) => boolean {
  const of_each = runs.map(({ training }) => read[training.id]?.metrics ?? null);
  return (metric) => of_each.some((known) => known === null || known.includes(metric));
}

interface MoreMetricsProps extends Pick<Props, "catalog" | "metrics" | "add_metric"> {
  has: (metric: string) => boolean;
}

function MoreMetrics({ catalog, metrics, add_metric, has }: MoreMetricsProps) {
  const others = catalog.data.filter(({ name }) => !FIRST_METRICS.includes(name) && !metrics.includes(name) && has(name));
  return (
    <label>
      Add a chart{" "}
      <select value="" onChange={(event) => add_metric(event.target.value)}>
        <option value="">choose …</option>
        {others.map(({ name, label }) => (
          <option key={name} value={name}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}

export function CompareCharts({ runs, catalog, axis, choose_axis, metrics, add_metric, remove_metric }: Props) {
  const group = use_chart_group(axis);
  const [read, tell] = use_read();
  const has = has_values(runs, read);
  const all = [...FIRST_METRICS.filter(has), ...metrics];
  // Their places and looks change with the runs, their values with what was read.
  const who = runs.map(({ training, label, shape }) => `${training.id} ${shape} ${batch_of(training)} ${label}`).join("\n");
  const { x, curves } = useMemo(() => overlay_of(runs, read, axis, all), [who, read, axis, all.join()]);
  const problems = runs.flatMap(({ training, label }) => (read[training.id]?.problem ? [`${label}: ${read[training.id]?.problem}`] : []));
  return (
    <section aria-label="Curves">
      {runs.map(({ training }) => (
        <Reader key={training.id} training={training} group={group} tell={tell} />
      ))}
      <div className="chart-bar">
        <Segments label="x axis" options={AXES} chosen={axis} choose={choose_axis} />
        <ChartControls group={group} offers={["smoothing", "log_x", "log_y"]} />
        <MoreMetrics catalog={catalog} metrics={metrics} add_metric={add_metric} has={has} />
      </div>
      {problems.map((problem) => (
        <p key={problem} role="alert" className="error">{problem}</p>
      ))}
      <div className="charts">
        {all.map((name) => {
          const { curves: _, from_zero, ...words } = figure_of(catalog, [name]);
          const shown = curves[name] ?? [];
          return (
            <div key={name} className="removable">
              {has(name) ? <Plot {...words} y_min_zero={from_zero} group={group} x={x} curves={shown} /> : <p>None of these runs has {words.title}.</p>}
              {metrics.includes(name) && (
                <button type="button" className="plain" onClick={() => remove_metric(name)}>
                  remove {words.title}
                </button>
              )}
            </div>
          );
        })}
      </div>
      <p className="small">
        By {AXIS_WORDS[axis]}. {CHART_HELP}
      </p>
    </section>
  );
}
