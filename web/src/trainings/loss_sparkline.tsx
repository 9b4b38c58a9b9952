// The number and its course: read when the row comes on screen, extended live after.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type RefObject, useEffect, useRef, useState } from "react";
import { get, path_of } from "../api/client";
import type { Training, TrainingSeries } from "../api/schema";
import { metric } from "../format";
import { is_active } from "../training_words";
import { BUCKETS, line_of, type LossPoint, points_of, with_point } from "./loss";

// Once it was on screen it counts as seen.
function use_seen(element: RefObject<Element | null>): boolean {
  const [seen, set_seen] = useState(false);
  useEffect(() => {
    const place = element.current;
    if (place === null) return;
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      set_seen(true);
      observer.disconnect();
    });
    observer.observe(place);
    return () => observer.disconnect();
  }, [element]);
  return seen;
}

const STALE_MS = 30_000; // of one that went on while nobody looked

// What it ended with is read once more.
function loss_key(id: string, completed_at: string | undefined): string[] {
  return ["trainings", id, "loss", completed_at ?? "runs"];
}

async function load(id: string): Promise<LossPoint[]> {
  return points_of(await get<TrainingSeries>(`${path_of("trainings", id, "metrics")}?names=loss&buckets=${BUCKETS}`));
}

function use_loss(training: Training, seen: boolean): LossPoint[] {
  const queries = useQueryClient();
  const { id, completed_at, current_step } = training;
  const loss = training.metrics["loss"];
  const curve = useQuery({
    queryKey: loss_key(id, completed_at),
    queryFn: () => load(id),
    enabled: seen && training.attempt > 0,
    staleTime: is_active(training) ? STALE_MS : Infinity,
    placeholderData: (before) => before,
  });
  useEffect(() => {
    if (!seen || typeof loss !== "number") return;
    queries.setQueryData<LossPoint[]>(loss_key(id, completed_at), (known) => known && with_point(known, { step: current_step, loss }));
  }, [queries, id, completed_at, current_step, loss, seen]);
  return curve.data ?? [];
}

export function Loss({ training }: { training: Training }) {
  const place = useRef<HTMLDivElement>(null);
  const line = line_of(use_loss(training, use_seen(place)));
  return (
    <div ref={place} className="loss">
      <span className="number">{metric(training.metrics["loss"])}</span>
      <svg viewBox="0 -3 100 106" preserveAspectRatio="none" aria-hidden="true">
        {line !== "" && <polyline points={line} fill="none" vectorEffect="non-scaling-stroke" />}
      </svg>
    </div>
  );
}
