import { memo } from "react";
import type { Training } from "../api/schema";
import { metric, moment } from "../format";
import { use_live_progress, use_trainings } from "../live/store";
import { LIST_LIMIT, use_training_list } from "../live/training_list";
import { newest_first } from "../live/trainings_state";
import { Chip } from "../parts/chip";
import { Progress } from "../parts/progress";
import { Segments } from "../parts/segments";
import { TrainingActions } from "../parts/training_actions";
import { training_link, use_place, use_title } from "../router";
import { devices_words, FILTERS, is_active, matches, reason_words } from "../training_words";

const FOLLOWED = 32; // step by step, of those that run

const Row = memo(function Row({ training }: { training: Training }) {
  const reason = reason_words(training);
  return (
    <tr>
      <th scope="row">
        <a href={training_link(training.id)}>{training.name}</a>
        <div className="small">{moment(training.created_at)}</div>
      </th>
      <td>
        <Chip state={training.status} />
        {reason && <p className={training.error ? "reason error" : "reason"}>{reason}</p>}
      </td>
      <td className="progress">
        <Progress training={training} />
      </td>
      <td data-label="Devices" className="number">
        {devices_words(training)}
      </td>
      <td data-label="FVU" className="number">
        {metric(training.metrics["fvu"])}
      </td>
      <td>{training.actions.length > 0 && <TrainingActions training={training} />}</td>
    </tr>
  );
});

const Table = ({ trainings }: { trainings: Training[] }) => (
  <table className="trainings">
    <caption className="hidden">Trainings, newest first</caption>
    <thead>
      <tr>
        {["Training", "Status", "Progress", "Devices", "FVU", "Actions"].map((name) => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
      </tr>
    </thead>
    <tbody>
      {trainings.map((training) => (
        <Row key={training.id} training={training} />
      ))}
    </tbody>
  </table>
);

export function TrainingsPage() {
  use_title("Trainings");
  const list = use_training_list();
  const all = newest_first(Object.values(use_trainings((state) => state.by_id)));
  use_live_progress(all.filter(is_active).slice(0, FOLLOWED).map(({ id }) => id).sort().join(" "));
  const asked = use_place().query.get("show");
  const filter = FILTERS.find((one) => one === asked) ?? "all";
  const shown = all.filter(({ status }) => matches(filter, status));
  const count = (one: (typeof FILTERS)[number]) => String(all.filter(({ status }) => matches(one, status)).length);
  return (
    <section aria-labelledby="title">
      <div className="title-row">
        <h1 id="title">Trainings</h1>
        <Segments label="Show" options={FILTERS} chosen={filter} note={count}
          choose={(one) => location.replace(one === "all" ? "#/trainings" : `#/trainings?show=${one}`)} />
      </div>
      {list.isError && <p role="alert" className="error">{list.error.message}</p>}
      {list.isPending && <p>Loading …</p>}
      {list.data && list.data.total > LIST_LIMIT && <p>The newest {LIST_LIMIT} of {list.data.total} are shown.</p>}
      {list.data && all.length === 0 && (
        <p>There is no training yet. <code>saemill submit FILE.toml</code> starts one.</p>
      )}
      {all.length > 0 && shown.length === 0 && <p>None of the {all.length} trainings is {filter}.</p>}
      {shown.length > 0 && <Table trainings={shown} />}
    </section>
  );
}
