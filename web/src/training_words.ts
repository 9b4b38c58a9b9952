// What the pages say about a training in more than one place.
import type { Training, TrainingStatus } from "./api/schema";
import { count, duration } from "./format";

export const FILTERS = ["all", "active", "waiting", "completed", "failed"] as const;
export type Filter = (typeof FILTERS)[number];

const ACTIVE: TrainingStatus[] = ["starting", "running", "pausing", "finalizing"];
const OF: Record<Exclude<Filter, "all">, TrainingStatus[]> = {
  active: ACTIVE,
  waiting: ["queued", "paused"],
  completed: ["completed"],
  failed: ["failed", "cancelled"],
};

export function matches(filter: Filter, status: TrainingStatus): boolean {
  return filter === "all" || OF[filter].includes(status);
}

export function is_active(training: Training): boolean {
  return ACTIVE.includes(training.status);
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

export function devices_words(training: Training): string {
  if (training.gpu_ids.length > 0) return [...training.gpu_ids].sort((a, b) => a - b).join(", ");
  return `${training.device_count} asked`;
}

// Why it is not further; null: there is nothing to say.
export function reason_words(training: Training): string | null {
  if (training.error) return training.error;
  return training.reason ? training.reason.message : null;
}
