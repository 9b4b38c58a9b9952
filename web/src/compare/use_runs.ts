// The chosen runs: as the list knows them, else each asked for by itself.
import { useQueries } from "@tanstack/react-query";
import type { Training } from "../api/schema";
import { curve_look, type Look } from "../charts/looks";
import { use_trainings } from "../live/store";
import { load_training, use_live_progress } from "../live/trainings";
import { labels_of, short_labels } from "./overlay";

export interface Run {
  training: Training;
  name: string; // which no other of them has
  label: string; // the same, short
  look: Look;
  shape: number;
}

interface Runs {
  runs: Run[];
  missing: { id: string; message: string }[];
  pending: boolean;
}

// `ids` without doubles, at most COLORS. A run keeps its look as long as those before it stay.
export function use_runs(ids: readonly string[]): Runs {
  const by_id = use_trainings((state) => state.by_id);
  const asked = useQueries({
    queries: ids.map((id) => ({
      queryKey: ["trainings", id],
      queryFn: () => load_training(id),
      // One that came live came without its configuration.
      enabled: by_id[id] === undefined || Object.keys(by_id[id].config).length === 0,
    })),
  });
  use_live_progress([...ids].sort().join(" "));
  const trainings = ids.flatMap((id) => by_id[id] ?? []);
  const names = labels_of(trainings);
  const labels = short_labels(names);
  return {
    runs: trainings.map((training, i) => {
      const { id, name } = training;
      return { training, name: names[i] ?? name, label: labels[i] ?? name, look: curve_look(ids.indexOf(id)), shape: ids.indexOf(id) };
    }),
    missing: ids.flatMap((id, i) => (by_id[id] === undefined && asked[i]?.error ? [{ id, message: asked[i].error.message }] : [])),
    pending: ids.some((id, i) => by_id[id] === undefined && asked[i]?.isPending),
  };
}
