import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { get, path_of } from "../api/client";
import type { RunEvent, TrainingEventList } from "../api/schema";
import { read_again } from "../live/read_again";
import { with_events } from "./run_events";
import { use_lines } from "./use_lines";

const PAGE = 500;
const NONE: RunEvent[] = [];

async function all_events(id: string): Promise<RunEvent[]> {
  let events: RunEvent[] = [];
  for (;;) {
    const { data } = await get<TrainingEventList>(`${path_of("trainings", id, "events")}?limit=${PAGE}&since=${events.at(-1)?.seq ?? -1}`);
    events = with_events(events, data);
    if (data.length < PAGE) return events;
  }
}

// Read once, and kept up to date by the live channel.
export function use_run_events(id: string): { events: RunEvent[]; known: boolean; problem: string | null } {
  const queries = useQueryClient();
  const key = ["trainings", id, "events"];
  const found = useQuery({ queryKey: key, queryFn: () => all_events(id) });
  // Apart from the answer, which may be on its way, and without them.
  const [news, set_news] = useState<RunEvent[]>([]);
  const reset = () => void read_again(queries, { queryKey: key });
  use_lines(
    id,
    (lines) => {
      const told = lines.filter(({ event }) => event !== "metrics");
      if (told.some(({ seq }) => seq === 0)) reset();
      if (told.length > 0) set_news((known) => with_events(known, told));
    },
    reset,
  );
  const { data } = found;
  const events = useMemo(() => (data === undefined ? NONE : with_events(data, news)), [data, news]);
  return { events, known: data !== undefined, problem: found.error?.message ?? null };
}
