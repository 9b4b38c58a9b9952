// The trainings as known: what REST said, and what the live channels said since.
import type { RunEvent, Training, TrainingState } from "../api/schema";
import type { Message } from "./connection";

export interface TrainingsState {
  by_id: Readonly<Record<string, Training>>;
  // When the live channels last changed one (ms), so that an older answer does not take it back.
  changed_at: Readonly<Record<string, number>>;
}

export const NO_TRAININGS: TrainingsState = { by_id: {}, changed_at: {} };

function newer(state: TrainingsState, id: string, asked_at: number): Training | undefined {
  return (state.changed_at[id] ?? 0) > asked_at ? state.by_id[id] : undefined;
}

function with_one(state: TrainingsState, training: Training, asked_at: number): Training {
  const known = newer(state, training.id, asked_at);
  return known === undefined ? training : { ...known, config: training.config, metrics: { ...training.metrics, ...known.metrics } };
}

// What REST answered about one training, to a question asked at that time (ms).
export function with_training(state: TrainingsState, training: Training, asked_at: number): TrainingsState {
  return { ...state, by_id: { ...state.by_id, [training.id]: with_one(state, training, asked_at) } };
}

// The same of the newest trainings, complete: of all. Those that it lacks are gone then, unless they came since.
export function with_list(state: TrainingsState, trainings: Training[], asked_at: number, complete: boolean): TrainingsState {
  const by_id: Record<string, Training> = {};
  for (const known of Object.values(state.by_id))
    if (!complete || newer(state, known.id, asked_at)) by_id[known.id] = known;
  for (const training of trainings) by_id[training.id] = with_one(state, training, asked_at);
  return { ...state, by_id };
}

function with_change(known: Training | undefined, change: TrainingState): Training {
  // A change has all members but these two; one that it lacks is gone.
  const next = { ...change, config: known?.config ?? {}, metrics: known?.metrics ?? {} };
  // Who subscribes hears the last change again, which may be long ago: steps were made since.
  const is_old = known?.status === change.status && known.attempt === change.attempt && known.current_step > change.current_step;
  return is_old ? { ...next, current_step: known.current_step, progress: known.progress } : next;
}

function with_line(known: Training, line: RunEvent): Training {
  if (line.event !== "metrics") return known;
  const current_step = line["step"] as number;
  const progress = known.total_steps > 0 ? (100 * current_step) / known.total_steps : known.progress;
  return { ...known, current_step, progress, metrics: { ...known.metrics, ...(line["values"] as Training["metrics"]) } };
}

export function with_messages(state: TrainingsState, messages: Message[], now: number): TrainingsState {
  const by_id = { ...state.by_id };
  const changed_at = { ...state.changed_at };
  for (const { channel, event, data } of messages) {
    if (event === "training:deleted") {
      const { id } = data as TrainingState;
      delete by_id[id];
      delete changed_at[id];
    } else if (event === "training:progress" || event === "training:warning") {
      const id = channel.split("/")[1] ?? "";
      const known = by_id[id];
      if (known === undefined) continue;
      by_id[id] = with_line(known, data as RunEvent);
      changed_at[id] = now;
    } else {
      const change = data as TrainingState;
      by_id[change.id] = with_change(by_id[change.id], change);
      changed_at[change.id] = now;
    }
  }
  return { by_id, changed_at };
}

export function newest_first(trainings: Training[]): Training[] {
  return [...trainings].sort((a, b) => b.created_at.localeCompare(a.created_at) || b.id.localeCompare(a.id));
}
