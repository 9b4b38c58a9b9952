// Which trainings have ended between two states of the store, and what is said about it.
import type { Training, TrainingStatus } from "../api/schema";
import { reason_words } from "../training_words";

const FINAL: TrainingStatus[] = ["completed", "failed", "cancelled"];
type ById = Readonly<Record<string, Training>>;

// Only those that were known before: what had ended when the page was opened is no news.
export function endings(before: ById, after: ById): Training[] {
  if (before === after) return [];
  return Object.values(after).filter(({ id, status }) => {
    const known = before[id];
    return known !== undefined && FINAL.includes(status) && !FINAL.includes(known.status);
  });
}

export function ending_words(training: Training): { title: string; body: string } {
  const reason = training.status === "failed" ? reason_words(training) : null;
  return { title: `${training.name} ${training.status === "cancelled" ? "was cancelled" : training.status}`, body: reason ?? "" };
}
