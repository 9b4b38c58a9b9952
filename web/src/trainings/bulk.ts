// What may be done with several trainings at once.
import type { Training } from "../api/schema";
import { control, erase } from "../api/client";
import { has_ended, offered } from "../training_words";

export const BULK = ["pause", "resume", "finish", "retry", "hold", "release", "cancel", "delete"] as const;
export type BulkAction = (typeof BULK)[number];

// Those that take it.
export function takers(trainings: Training[], action: BulkAction): Training[] {
  return trainings.filter((training) =>
    action === "delete" ? has_ended(training) : offered(training).includes(action),
  );
}

interface Question {
  detail: string;
  yes: (what: string) => string;
}

// What cannot be taken back is asked for first.
export const QUESTIONS: Partial<Record<BulkAction, Question>> = {
  finish: { detail: "Each ends after the step it is at, and its SAE is written.", yes: (what) => `Yes, finish ${what}` },
  cancel: { detail: "Each ends at once. What it learned since its last checkpoint is lost.", yes: (what) => `Yes, cancel ${what}` },
  delete: { detail: "Their folders are erased: checkpoints, SAEs, metrics and logs.", yes: (what) => `Yes, delete ${what}` },
};

export function how_many(count: number): string {
  return count === 1 ? "1 training" : `${count} trainings`;
}

export interface Outcome {
  id: string;
  name: string;
  refused: string | null; // in the server's words
}

const AT_ONCE = 4; // 500 at a time would be refused as too many requests

export async function act_on_all(
  trainings: Training[],
  action: BulkAction,
  done: (answer: Training, asked_at: number) => void,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const left = [...trainings];
  const one = async ({ id, name }: Training) => {
    const asked_at = Date.now();
    try {
      if (action === "delete") await erase(`trainings/${encodeURIComponent(id)}`);
      else done(await control(id, action), asked_at);
      outcomes.push({ id, name, refused: null });
    } catch (error) {
      outcomes.push({ id, name, refused: error instanceof Error ? error.message : String(error) });
    }
  };
  const work = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await one(next);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return outcomes;
}

export function outcome_words(action: BulkAction, outcomes: Outcome[]): string {
  const done = outcomes.filter(({ refused }) => refused === null).length;
  const asked = action === "delete" ? "Deleted" : `The server accepted ${action} for`;
  return done === outcomes.length ? `${asked} ${how_many(done)}.` : `${asked} ${done} of ${how_many(outcomes.length)}.`;
}
