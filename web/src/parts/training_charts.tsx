import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { get } from "../api/client";
import type { MetricCatalog, RunEvent, TrainingSeries } from "../api/schema";
import { batched } from "../live/batch";
import type { Message } from "../live/connection";
import { CURVES, type Curves, curves_of, with_lines } from "../live/series";
import { live } from "../live/store";
import { Chart } from "./chart";

const BUCKETS = 600;
const MOST_LINES = 2000; // live; then the server makes buckets of them

function use_curves(id: string): { curves: Curves | null; problem: string | null } {
  const queries = useQueryClient();
  const [lines, set_lines] = useState<RunEvent[]>([]);
  const key = ["trainings", id, "metrics"];
  const series = useQuery({
    queryKey: key,
    queryFn: () => get<TrainingSeries>(`trainings/${encodeURIComponent(id)}/metrics?names=${CURVES.join()}&buckets=${BUCKETS}`),
  });
  const too_many = lines.length > MOST_LINES;
  useEffect(() => {
    const read_again = () => {
      set_lines([]);
      void queries.invalidateQueries({ queryKey: ["trainings", id, "metrics"] });
    };
    if (too_many) read_again();
    const message = batched<Message>((messages) => {
      const news = messages.filter(({ event }) => event === "training:progress").map(({ data }) => data as RunEvent);
      // After a rewind steps come that were there before.
      if (news.some(({ event, seq }) => event === "rewind" || seq === 0)) read_again();
      else if (news.length > 0) set_lines((known) => [...known, ...news]);
    });
    return live.subscribe(`trainings/${id}/progress`, { message, reset: read_again });
  }, [id, queries, too_many]);
  const curves = series.data ? with_lines(curves_of(series.data), lines) : null;
  return { curves, problem: series.error?.message ?? null };
}

export function TrainingCharts({ id }: { id: string }) {
  const { curves, problem } = use_curves(id);
  const catalog = useQuery({ queryKey: ["metric-catalog"], queryFn: () => get<MetricCatalog>("metric-catalog"), staleTime: Infinity });
  if (problem !== null) return <p role="alert" className="error">{problem}</p>;
  if (curves === null) return <p>Loading …</p>;
  if (curves.step.length === 0) return <p>It has measured nothing yet.</p>;
  const row = (name: string) => catalog.data?.data.find((one) => one.name === name);
  return (
    <>
      <div className="charts">
        {CURVES.map((name) => (
          <Chart key={name} name={name} curves={curves} title={row(name)?.label ?? name} help={row(name)?.help ?? ""} />
        ))}
      </div>
      <p className="small">By step; the band reaches from the least to the greatest of what a point stands for. Drag to zoom, double-click to see all.</p>
    </>
  );
}
