// Why it is not further.
import type { Training } from "../api/schema";
import { use_trainings } from "../live/store";
import { Said } from "../parts/said";
import { reason_words } from "../training_words";

export function Reason({ training }: { training: Training }) {
  // Names do not change: there is nothing to follow.
  const words = reason_words(training, use_trainings.getState().by_id);
  return words === null ? null : <p className={training.error ? "reason error" : "reason"}><Said words={words} /></p>;
}
