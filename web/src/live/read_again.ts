import { type QueryClient, type QueryFilters, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { use_phase } from "./store";

// Also what is being read at this moment, whose answer may be older than what led here: invalidating alone leaves a first
// reading to its end.
export async function read_again(queries: QueryClient, filters: QueryFilters): Promise<void> {
  await queries.cancelQueries(filters);
  await queries.invalidateQueries(filters);
}

// What could not be read while the server was away, and of which no channel says so once it is back.
export function use_failed_again(): void {
  const queries = useQueryClient();
  useEffect(
    () =>
      use_phase.subscribe(({ phase }) => {
        if (phase === "live") void queries.refetchQueries({ type: "active", predicate: ({ state }) => state.status === "error" });
      }),
    [queries],
  );
}
