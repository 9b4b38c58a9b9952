// The curves of several runs over one x axis.
import type { Training } from "../api/schema";
import type { PlotAxis } from "../charts/group";
import type { Column } from "../charts/smooth";
import type { Curves } from "../live/series";

export const AXES = ["step", "activations", "elapsed"] as const satisfies readonly PlotAxis[];
export type RunAxis = (typeof AXES)[number];

// Activations of one step; null: its configuration does not tell.
export function batch_of({ config, world_size }: Pick<Training, "config" | "world_size">): number | null {
  const train = (config["train"] ?? {}) as Record<string, unknown>;
  const whole = Number(train["batch_size"] ?? 0);
  const batch = whole > 0 ? whole : Number(train["batch_size_per_device"] ?? 0) * world_size;
  return batch > 0 ? batch : null;
}

// Where a run's points are on the axis; elapsed: since its first.
export function places(curves: Curves, axis: RunAxis, batch: number | null): number[] {
  if (axis === "step") return curves.step;
  if (axis === "activations") return batch === null ? [] : curves.step.map((step) => step * batch);
  const first = curves.time[0] ?? 0;
  return curves.time.map((time) => time - first);
}

export function joined(axes: readonly number[][]): number[] {
  if (axes.length === 1) return axes[0] as number[];
  return [...new Set(axes.flat())].sort((a, b) => a - b);
}

// A run has no point of its own at the places of the others: there its line goes straight from one of its points to
// the next. Before its first and after its last, and where it measured nothing, it has none.
export function onto(all: readonly number[], own: readonly number[], column: Column): Column {
  if (all.length === own.length && own.every((at, i) => at === all[i])) return column;
  let next = 0; // the first of its own points that is not before
  return all.map((at) => {
    while (next < own.length && (own[next] as number) < at) next += 1;
    const right = own[next];
    const after = column[next];
    if (right === undefined || after === undefined || after === null) return null;
    if (right === at) return after;
    const left = own[next - 1];
    const before = column[next - 1];
    if (left === undefined || before === undefined || before === null) return null;
    return before + ((after - before) * (at - left)) / (right - left);
  });
}

// What each is called where their names alone would not do.
export function labels_of(trainings: readonly Pick<Training, "id" | "name">[]): string[] {
  return trainings.map(({ id, name }) => (trainings.some((other) => other.id !== id && other.name === name) ? `${name} (${id.slice(0, 6)})` : name));
}

const LONGEST = 24; // characters, of which legends and pictures have room

// Without the words that all begin with, as far as they are too long with them: of a sweep, what was swept is last.
export function short_labels(labels: readonly string[]): string[] {
  let words = labels.map((label) => label.split(" "));
  const too_long = () => words.some((some) => some.join(" ").length > LONGEST);
  const begin_alike = () => words.every((some) => some.length > 1 && some[0] === words[0]?.[0]);
  while (words.length > 1 && too_long() && begin_alike()) words = words.map((some) => some.slice(1));
  return words.map((some) => some.join(" "));
}
