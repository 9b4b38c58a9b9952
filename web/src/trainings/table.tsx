// The list as a table, whose columns sort; on narrow screens its rows are cards.
import { memo } from "react";
import type { Training, TrainingAction } from "../api/schema";
import { metric, moment } from "../format";
import { Chip } from "../parts/chip";
import { Progress } from "../parts/progress";
import { TrainingActions } from "../parts/training_actions";
import { training_link } from "../router";
import { expected_clock } from "../training_words";
import { DeviceLinks } from "./device_links";
import { type ChangeView, type ListView, NEWEST, type SortColumn, view_link } from "./filter";
import { Loss } from "./loss_sparkline";
import { Reason } from "./reason";

const ROW_ACTIONS: TrainingAction[] = ["pause", "resume", "finish", "retry", "hold", "release", "cancel"];

interface RowProps {
  training: Training;
  checked: boolean;
  check: (id: string, checked: boolean) => void;
}

const Row = memo(function Row({ training, checked, check }: RowProps) {
  const { id, name, group_id } = training;
  const expected = training.status === "queued" ? training.reason?.expected_start : undefined;
  return (
    <tr className={checked ? "checked" : undefined}>
      <td className="check">
        <label>
          <input type="checkbox" checked={checked} onChange={(event) => check(id, event.target.checked)} />
          <span className="hidden">Choose {name}</span>
        </label>
      </td>
      <th scope="row">
        <a href={training_link(id)}>{name}</a>
        <div className="small number">{moment(training.created_at)}</div>
        {group_id && (
          <div className="small">
            <a href={view_link({ ...NEWEST, group: group_id })}>group {group_id.slice(0, 6)}</a>
          </div>
        )}
      </th>
      <td>
        <Chip state={training.status} />
        <Reason training={training} />
        {expected && <p className="reason number">expected to start at {expected_clock(expected, Date.now())}</p>}
      </td>
      <td className="progress">
        <Progress training={training} />
      </td>
      <td data-label="Loss">
        <Loss training={training} />
      </td>
      <td data-label="FVU" className="number">
        {metric(training.metrics["fvu"])}
      </td>
      <td data-label="L0" className="number">
        {metric(training.metrics["l0"])}
      </td>
      <td data-label="Devices" className="number">
        <DeviceLinks training={training} />
      </td>
      <td className="actions">{training.actions.length > 0 && <TrainingActions training={training} shown={ROW_ACTIONS} />}</td>
    </tr>
  );
});

export const SORTED: [SortColumn, string][] = [
  ["name", "Training"],
  ["created", "Created"],
  ["progress", "Progress"],
  ["loss", "Loss"],
  ["fvu", "FVU"],
  ["l0", "L0"],
];

function SortButton({ column, words, view, change }: { column: SortColumn; words: string; view: ListView; change: ChangeView }) {
  const chosen = view.sort === column;
  return (
    <button type="button" onClick={() => change({ sort: column, descending: chosen ? !view.descending : column === "created" })}>
      {words}
      <span aria-hidden="true">{chosen ? (view.descending ? " ↓" : " ↑") : ""}</span>
    </button>
  );
}

interface HeadProps {
  columns: SortColumn[];
  view: ListView;
  change: ChangeView;
}

function SortHead({ columns, view, change }: HeadProps) {
  const order = columns.includes(view.sort) ? (view.descending ? "descending" : "ascending") : undefined;
  return (
    <th scope="col" aria-sort={order}>
      {SORTED.filter(([column]) => columns.includes(column)).map(([column, words]) => (
        <SortButton key={column} column={column} words={words} view={view} change={change} />
      ))}
    </th>
  );
}

interface Props {
  trainings: Training[];
  checked: ReadonlySet<string>;
  check: (id: string, checked: boolean) => void;
  view: ListView;
  change: ChangeView;
}

export function TrainingTable({ trainings, checked, check, view, change }: Props) {
  const head = (...columns: SortColumn[]) => <SortHead columns={columns} view={view} change={change} />;
  return (
    <table className="trainings list">
      <caption className="hidden">Trainings; the buttons in its head sort it</caption>
      <thead>
        <tr>
          <td />
          {head("name", "created")}
          <th scope="col">Status</th>
          {head("progress")}
          {head("loss")}
          {head("fvu")}
          {head("l0")}
          <th scope="col">Devices</th>
          <th scope="col">Actions</th>
        </tr>
      </thead>
      <tbody>
        {trainings.map((training) => (
          <Row key={training.id} training={training} checked={checked.has(training.id)} check={check} />
        ))}
      </tbody>
    </table>
  );
}
