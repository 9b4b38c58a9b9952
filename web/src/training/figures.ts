// Which figures there are of the metrics that a run reports.
import type { MetricCatalog, MetricRow } from "../api/schema";
import { curve_look, type Look } from "../charts/looks";
import { bytes } from "../format";

export const GROUPS = ["Learning", "Speed", "More"] as const;
export type Group = (typeof GROUPS)[number];

export interface MetricCurve {
  name: string; // of the metric
  label: string;
  look: Look;
}

export interface MetricFigure {
  title: string;
  help: string;
  unit: string;
  format?: (value: number) => string;
  binary?: boolean;
  from_zero: boolean;
  curves: MetricCurve[];
}

// Those that belong together, in one figure; in the order in which they are shown.
const FIGURES: Record<Group, { title?: string; names: string[] }[]> = {
  Learning: [
    { title: "Loss", names: ["loss", "mse", "sparsity_loss", "aux_loss"] },
    { names: ["fvu"] },
    { names: ["l0"] },
    { names: ["dead_fraction"] },
    { names: ["lr"] },
    { names: ["grad_norm"] },
  ],
  Speed: [{ names: ["activations_per_second"] }, { title: "Time of a step", names: ["step_ms", "data_wait_ms", "comm_ms", "comm_exposed_ms"] }],
  More: [{ names: ["memory_bytes"] }, { names: ["verified_step"] }],
};

const FROM_ZERO = new Set(["activations_per_second", "step_ms", "dead_fraction", "memory_bytes"]);

function row_of(catalog: MetricCatalog, name: string): MetricRow {
  return catalog.data.find((row) => row.name === name) ?? { name, label: name, unit: "", direction: "none", help: "Reported by the run" };
}

export function figure_of(catalog: MetricCatalog, names: readonly string[], title?: string): MetricFigure {
  const rows = names.map((name) => row_of(catalog, name));
  const unit = rows[0]?.unit ?? "";
  const single = rows.length === 1 || title === undefined;
  return {
    title: single ? (rows[0]?.label ?? "") : title,
    help: rows.map(({ label, help }) => (rows.length > 1 ? `${label}: ${help}` : help)).join("\n"),
    unit: unit === "bytes" ? "" : unit,
    ...(unit === "bytes" && { format: bytes, binary: true }),
    from_zero: names.some((name) => FROM_ZERO.has(name)),
    curves: rows.map(({ name, label }, i) => ({ name, label, look: rows.length > 1 ? curve_look(i) : { color: "--accent" } })),
  };
}

// Every metric of the run is in one figure, also those that nobody here knows of.
export function figures(catalog: MetricCatalog, reported: readonly string[]): Record<Group, MetricFigure[]> {
  const known = new Set(Object.values(FIGURES).flat().flatMap(({ names }) => names));
  const of = (group: Group) =>
    FIGURES[group].flatMap(({ title, names }) => {
      const here = names.filter((name) => reported.includes(name));
      return here.length === 0 ? [] : [figure_of(catalog, here, title)];
    });
  const unknown = reported.filter((name) => !known.has(name)).map((name) => figure_of(catalog, [name]));
  return { Learning: of("Learning"), Speed: of("Speed"), More: [...of("More"), ...unknown] };
}

// One metric of each rank.
export function rank_figures(catalog: MetricCatalog, reported: readonly string[]): MetricFigure[] {
  return reported.map((name) => {
    const figure = figure_of(catalog, [name]);
    return { ...figure, title: `${figure.title} by rank` };
  });
}
