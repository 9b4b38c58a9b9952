import { useQuery, useQueryClient } from "@tanstack/react-query";
import { get } from "../api/client";
import type { RunEvent, TrainingEventList } from "../api/schema";
import { with_events } from "./run_events";
import { use_lines } from "./use_lines";

const PAGE = 500;

async function all_events(id: string): Promise<RunEvent[]> {
  let events: RunEvent[] = [];
  for (;;) {
    const { data } = await get<TrainingEventList>(`trainings/${encodeURIComponent(id)}/events?limit=${PAGE}&since=${events.at(-1)?.seq ?? -1}`);
    events = with_events(events, data);
    if (data.length < PAGE) return events;
  }
}

// Read once, and kept up to date by the live channel.
export function use_run_events(id: string): { events: RunEvent[]; known: boolean; problem: string | null } {
  const queries = useQueryClient();
  const key = ["trainings", id, "events"];
  const found = useQuery({ queryKey: key, queryFn: () => all_events(id) });
  const read_again = () => void queries.invalidateQueries({ queryKey: key });
  use_lines(
    id,
    (lines) => {
      const news = lines.filter(({ event }) => event !== "metrics");
      if (news.some(({ seq }) => seq === 0)) read_again();
      if (news.length > 0) queries.setQueryData<RunEvent[]>(key, (known) => known && with_events(known, news));
    },
    read_again,
  );
  return { events: found.data ?? NONE, known: found.data !== undefined, problem: found.error?.message ?? null };
}

const NONE: RunEvent[] = [];
