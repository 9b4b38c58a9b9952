// What may be done with several trainings at once.
import { message_of } from "../api/client";
import type { Training } from "../api/schema";
import { control, delete_training } from "../live/trainings";
import { has_ended, offered } from "../training_words";

export const BULK = ["pause", "resume", "finish", "retry", "hold", "release", "cancel", "delete"] as const;
export type BulkAction = (typeof BULK)[number];

// Those that take it.
export function takers(trainings: Training[], action: BulkAction): Training[] {
  return trainings.filter((training) =>
    action === "delete" ? has_ended(training) : offered(training).includes(action),
  );
}

export function how_many(count: number): string {
  return count === 1 ? "1 training" : `${count} trainings`;
}

export interface Outcome {
  id: string;
  name: string;
  refused: string | null; // in the server's words
}

const AT_ONCE = 4; // 500 at a time would be refused as too many requests

export async function act_on_all(trainings: Training[], action: BulkAction): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const left = [...trainings];
  const one = async ({ id, name }: Training) => {
    try {
      await (action === "delete" ? delete_training(id) : control(id, action));
      outcomes.push({ id, name, refused: null });
    } catch (error) {
      outcomes.push({ id, name, refused: message_of(error) });
    }
  };
  const work = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await one(next);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return outcomes;
}

// `others`: how many more were chosen, which do not take it.
export function outcome_words(action: BulkAction, outcomes: Outcome[], others = 0): string {
  const done = outcomes.filter(({ refused }) => refused === null).length;
  const asked = action === "delete" ? "Deleted" : `The server accepted ${action} for`;
  const told = done === outcomes.length ? `${asked} ${how_many(done)}` : `${asked} ${done} of ${how_many(outcomes.length)}`;
  return others === 0 ? `${told}.` : `${told}; for the other ${others === 1 ? "one" : others} it is not possible now.`;
}
