// The trainings as known: what REST said, and what the live channels said since.
import type { RunEvent, Training, TrainingState } from "../api/schema";
import { has_ended } from "../training_words";
import type { Message } from "./connection";

export interface TrainingsState {
  by_id: Readonly<Record<string, Training>>;
  // When the live channels last told of one (ms), so that an older answer does not take it back: of its state, also that
  // it was deleted, and of its metrics, which come by a channel of their own.
  changed_at: Readonly<Record<string, number>>;
  measured_at: Readonly<Record<string, number>>;
}

export const NO_TRAININGS: TrainingsState = { by_id: {}, changed_at: {}, measured_at: {} };

const is_newer = (times: Readonly<Record<string, number>>, id: string, asked_at: number) => (times[id] ?? 0) > asked_at;

// null: it was deleted since.
function with_one(state: TrainingsState, training: Training, asked_at: number): Training | null {
  const { id, config } = training;
  const known = state.by_id[id];
  if (known === undefined) return is_newer(state.changed_at, id, asked_at) ? null : training;
  const metrics = is_newer(state.measured_at, id, asked_at) ? { ...training.metrics, ...known.metrics } : training.metrics;
  return is_newer(state.changed_at, id, asked_at) ? { ...known, config, metrics } : { ...training, metrics };
}

// What REST answered about one training, to a question asked at that time (ms).
export function with_training(state: TrainingsState, training: Training, asked_at: number): TrainingsState {
  const one = with_one(state, training, asked_at);
  return one === null ? state : { ...state, by_id: { ...state.by_id, [training.id]: one } };
}

// The same of all that were created after `since` (of the server; "": ever), and of all that have not ended. Those of them
// that it lacks are gone, unless they came since.
export function with_list(state: TrainingsState, trainings: Training[], asked_at: number, since: string): TrainingsState {
  const by_id: Record<string, Training> = {};
  for (const known of Object.values(state.by_id)) {
    const is_listed = known.created_at > since || !has_ended(known);
    if (!is_listed || is_newer(state.changed_at, known.id, asked_at)) by_id[known.id] = known;
  }
  for (const training of trainings) {
    const one = with_one(state, training, asked_at);
    if (one !== null) by_id[training.id] = one;
  }
  // What was deleted long ago is in no answer any more.
  const kept = (times: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(times).filter(([id, time]) => id in by_id || time > asked_at));
  return { by_id, changed_at: kept(state.changed_at), measured_at: kept(state.measured_at) };
}

// It was deleted, now (ms).
export function without_training(state: TrainingsState, id: string, now: number): TrainingsState {
  const { [id]: _, ...by_id } = state.by_id;
  return { ...state, by_id, changed_at: { ...state.changed_at, [id]: now } };
}

function with_change(known: Training | undefined, change: TrainingState): Training {
  // A change has all members but these two; one that it lacks is gone.
  const next = { ...change, config: known?.config ?? {}, metrics: known?.metrics ?? {} };
  // After a lost connection changes are told again that are older than the steps known.
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
  const measured_at = { ...state.measured_at };
  for (const { channel, event, data } of messages) {
    if (channel === "trainings") {
      const change = data as TrainingState;
      if (event === "training:deleted") delete by_id[change.id];
      else by_id[change.id] = with_change(by_id[change.id], change);
      changed_at[change.id] = now;
    } else if (event === "training:progress") {
      const id = channel.split("/")[1] ?? "";
      const known = by_id[id];
      if (known === undefined) continue;
      by_id[id] = with_line(known, data as RunEvent);
      changed_at[id] = measured_at[id] = now;
    }
    // What else a training's own channel says of its state is told to all, and there in order.
  }
  return { by_id, changed_at, measured_at };
}

export function newest_first(trainings: Training[]): Training[] {
  return [...trainings].sort((a, b) => b.created_at.localeCompare(a.created_at) || b.id.localeCompare(a.id));
}
