// The curves of a training: read once in buckets, extended by what comes live, and read again in finer buckets
// where the reader looks closer.
import { keepPreviousData, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { get, path_of } from "../api/client";
import type { RunEvent, TrainingSeries } from "../api/schema";
import type { ChartGroup } from "../charts/group";
import { use_settled } from "../charts/settled";
import { read_again } from "../live/read_again";
import { type Curves, curves_of, NO_CURVES, not_in, spliced, with_lines } from "../live/series";
import { steps_shown } from "./times";
import { use_lines } from "./use_lines";

const BUCKETS = 600;
const MOST_LINES = 2000; // live; then the server makes buckets of them
const MOST_RANKS = 32;

// Columns that are one array stay one array, by which single steps are told from buckets: nothing is merged into the
// answer before.
export function curves_query(id: string, query: string) {
  const target = `${path_of("trainings", id, "metrics")}?buckets=${BUCKETS}${query}`;
  return { queryFn: async () => curves_of(await get<TrainingSeries>(target)), structuralSharing: false };
}

interface Found {
  curves: Curves | null; // null: not yet known
  lines: readonly RunEvent[];
  problem: string | null;
}

export function use_curves(id: string): Found {
  const queries = useQueryClient();
  const [lines, set_lines] = useState<RunEvent[]>([]);
  const key = ["trainings", id, "metrics"];
  const series = useQuery({ queryKey: key, ...curves_query(id, "") });
  const reset = () => void read_again(queries, { queryKey: key });
  use_lines(
    id,
    (news) => {
      // A bucket may reach beyond the step that a rewind goes back to; seq 0 tells that lines were lost.
      if (news.some(({ event, seq }) => event === "rewind" || seq === 0)) reset();
      set_lines((known) => [...known, ...news.filter(({ event }) => event === "metrics" || event === "rewind")]);
    },
    reset,
  );
  const too_many = lines.length > MOST_LINES;
  useEffect(() => {
    if (too_many) void read_again(queries, { queryKey: ["trainings", id, "metrics"] });
  }, [too_many, id, queries]);
  const base = series.data;
  useEffect(() => {
    if (base !== undefined) set_lines((known) => not_in(base, known));
  }, [base]);
  const curves = useMemo(() => (base === undefined ? null : with_lines(base, lines)), [base, lines]);
  return { curves, lines, problem: series.error?.message ?? null };
}

// batch: activations of one step, where that is the axis.
export function use_zoomed(id: string, coarse: Curves | null, group: ChartGroup, batch: number | null = null): Curves | null {
  const settled = use_settled(group);
  const range = useMemo(() => {
    if (settled === null || coarse === null || coarse.exact || coarse.step.length === 0) return null;
    const steps = steps_shown(group.axis, settled, coarse, batch);
    return steps && ([Math.max(0, Math.floor(steps[0])), Math.max(1, Math.ceil(steps[1]))] as const);
    // Where the range stands still, new steps change nothing in it.
  }, [settled, group, batch, coarse === null || coarse.exact]);
  const fine = useQuery({
    queryKey: ["trainings", id, "metrics", "zoomed", ...(range ?? [])],
    ...curves_query(id, `&from_step=${range?.[0]}&to_step=${range?.[1]}`),
    enabled: range !== null,
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  return useMemo(
    () => (coarse === null || range === null || fine.data === undefined ? coarse : spliced(coarse, fine.data)),
    [coarse, range, fine.data],
  );
}

// Of each rank by itself, where there are several.
export function use_rank_curves(id: string, world_size: number, lines: readonly RunEvent[]): Curves[] {
  const ranks = Array.from({ length: world_size > 1 ? Math.min(world_size, MOST_RANKS) : 0 }, (_, rank) => rank);
  const found = useQueries({
    queries: ranks.map((rank) => ({
      queryKey: ["trainings", id, "metrics", "rank", rank], // read again with the curves of all, which take the lines
      ...curves_query(id, `&rank=${rank}`),
    })),
  });
  const read = found.map(({ dataUpdatedAt }) => dataUpdatedAt).join();
  return useMemo(() => found.map(({ data }, rank) => with_lines(data ?? NO_CURVES, lines, rank)), [read, lines]);
}
