// Which trainings have ended between two states of the store, and what is said about it.
import type { Training } from "../api/schema";
import { said } from "../said";
import { has_ended, reason_words } from "../training_words";

type ById = Readonly<Record<string, Training>>;

// Only those that were known before: what had ended when the page was opened is no news.
export function endings(before: ById, after: ById): Training[] {
  if (before === after) return [];
  return Object.values(after).filter((training) => {
    const known = before[training.id];
    return known !== undefined && has_ended(training) && !has_ended(known);
  });
}

export function ending_words(training: Training): { title: string; body: string } {
  const reason = training.status === "failed" ? reason_words(training) : null;
  const title = `${training.name} ${training.status === "cancelled" ? "was cancelled" : training.status}`;
  return { title, body: reason === null ? "" : said(reason, Date.now()) };
}
