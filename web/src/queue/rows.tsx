// One of those that wait: what it waits for, and how to put it elsewhere.
import { memo } from "react";
import type { Training, TrainingAction } from "../api/schema";
import { use_words_of_now } from "../clock";
import { duration } from "../format";
import { TrainingActions } from "../parts/training_actions";
import { training_link } from "../router";
import { expected_clock, expected_in } from "../training_words";
import { DeviceNames } from "../trainings/device_links";
import { Reason } from "../trainings/reason";
import type { Grip } from "./drag";
import { PriorityField } from "./priority_field";
import type { QueueActions } from "./use_queue";

const ACTIONS: TrainingAction[] = ["resume", "hold", "release", "cancel"];

function Asked({ training: { asked_gpu_ids, device_count } }: { training: Training }) {
  if (asked_gpu_ids === undefined) return <>{device_count} of any</>;
  return <DeviceNames devices={asked_gpu_ids.map((id) => ({ id }))} />;
}

interface RowProps {
  training: Training;
  refused: string | null;
  actions: QueueActions;
}

export interface PlaceProps extends RowProps {
  place: number;
  last: number;
  state: "dragged" | "lands-before" | "lands-after" | undefined;
  grip: Grip;
}

// Never disabled, so that the focus stays while a row moves.
function Place({ training: { id, name, actions: accepted }, place, last, actions, grip }: PlaceProps) {
  const step = (words: "sooner" | "later", to: number, mark: string) => {
    const off = to < 0 || to > last;
    return (
      <button type="button" id={`${words}-${id}`} aria-label={`${name} ${words}`} title={words} aria-disabled={off}
        onClick={() => off || actions.move(id, to)}>
        {mark}
      </button>
    );
  };
  return (
    <td className="place">
      <span className="number">{place + 1}</span>
      {accepted.includes("prioritize") && (
        <span className="movers">
          {step("sooner", place - 1, "↑")}
          {step("later", place + 1, "↓")}
          <span className="grip" aria-hidden="true" title="Drag it to another place" {...grip} />
        </span>
      )}
    </td>
  );
}

function Start({ at }: { at: string | undefined }) {
  const clock = use_words_of_now((now) => expected_clock(at, now));
  const from_now = use_words_of_now((now) => expected_in(at, now));
  return (
    <>
      <span className="expected">{clock}</span> <span className="expected small">{from_now}</span>
    </>
  );
}

function Age({ since }: { since: string }) {
  return <>{use_words_of_now((now) => duration((now - Date.parse(since)) / 1000))}</>;
}

function Cells({ training, refused, actions }: RowProps) {
  return (
    <>
      <th scope="row">
        <a href={training_link(training.id)}>{training.name}</a>
      </th>
      <td data-label="Priority">
        <PriorityField training={training} actions={actions} />
      </td>
      <td data-label="Devices" className="number">
        <Asked training={training} />
      </td>
      <td>
        <Reason training={training} />
        {refused !== null && <p role="alert" className="error">{refused}</p>}
      </td>
      <td data-label="Starts at" className="number">
        <Start at={training.reason?.expected_start} />
      </td>
      <td data-label="Age" className="number">
        <Age since={training.created_at} />
      </td>
      <td className="actions">
        <TrainingActions training={training} shown={ACTIONS} />
      </td>
    </>
  );
}

export const ApartRow = memo(function ApartRow(props: RowProps) {
  return (
    <tr>
      <Cells {...props} />
    </tr>
  );
});

export const LineRow = memo(function LineRow(props: PlaceProps) {
  return (
    <tr data-id={props.training.id} className={props.state}>
      <Place {...props} />
      <Cells {...props} />
    </tr>
  );
});
