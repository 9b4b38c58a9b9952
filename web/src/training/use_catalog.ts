import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { MetricCatalog } from "../api/schema";

// What metrics there are: the same for as long as the server runs.
export function use_catalog() {
  return useQuery({ queryKey: ["metric-catalog"], queryFn: () => get<MetricCatalog>("metric-catalog"), staleTime: Infinity });
}
