// What the pages say about a training in more than one place.
import type { Training, TrainingAction, TrainingStatus } from "./api/schema";
import { ABSENT, count, duration } from "./format";
import { near_clock } from "./said";

export const FILTERS = ["all", "active", "waiting", "completed", "failed"] as const;
export type Filter = (typeof FILTERS)[number];

const ACTIVE: TrainingStatus[] = ["starting", "running", "pausing", "finalizing"];
const OF: Record<Exclude<Filter, "all">, TrainingStatus[]> = {
  active: ACTIVE,
  waiting: ["queued", "paused"],
  completed: ["completed"],
  failed: ["failed", "cancelled"],
};

export const UNFINISHED: readonly TrainingStatus[] = [...ACTIVE, ...OF.waiting];

export function matches(filter: Filter, status: TrainingStatus): boolean {
  return filter === "all" || OF[filter].includes(status);
}

export function is_active(training: Training): boolean {
  return ACTIVE.includes(training.status);
}

export function has_ended({ status }: Pick<Training, "status">): boolean {
  return !UNFINISHED.includes(status);
}

// What makes a difference now: the server takes a hold of one that is held, too.
export function offered({ actions, held }: Training): TrainingAction[] {
  return actions.filter((action) => action !== (held ? "hold" : "release"));
}

export function progress_words(training: Training): string {
  return `${count(training.current_step)} of ${count(training.total_steps)} (${training.progress.toFixed(0)} %)`;
}

// While it runs, by the speed of its last steps.
export function time_left(training: Training): string | null {
  const step_ms = training.metrics["step_ms"];
  if (training.status !== "running" || !step_ms) return null;
  return `${duration(((training.total_steps - training.current_step) * step_ms) / 1000)} left`;
}

// Why it is not further; null: there is nothing to say. Others are called by their names, and when it is expected to
// start is told in the reader's time zone, apart.
export function reason_words(training: Training, others: Readonly<Record<string, Training>> = {}): string | null {
  if (training.error) return training.error;
  if (!training.reason) return null;
  return training.reason.message
    .replace(/\b[a-z2-7]{16}\b/g, (id) => others[id]?.name ?? id)
    .replace(/; expected at about [^;]*/, "");
}

export function expected_clock(expected_start: string | undefined, now: number): string {
  if (expected_start === undefined) return ABSENT;
  return near_clock(new Date(expected_start), now);
}

export function expected_in(expected_start: string | undefined, now: number): string {
  if (expected_start === undefined) return "";
  const seconds = (Date.parse(expected_start) - now) / 1000;
  return seconds < 1 ? "any moment" : `in ${duration(seconds)}`;
}
