import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Training } from "../api/schema";
import { duration, metric, moment } from "../format";
import { use_trainings } from "../live/store";
import { load_training, use_live_progress } from "../live/trainings";
import { Chip } from "../parts/chip";
import { Progress } from "../parts/progress";
import { TrainingActions } from "../parts/training_actions";
import { compare_link, new_link, use_title } from "../router";
import { TrainingCharts } from "../training/charts";
import { Checkpoints } from "../training/checkpoints";
import { Configuration } from "../training/configuration";
import { DeleteTraining } from "../training/delete_training";
import { Sae } from "../training/files";
import { Events, Log } from "../training/texts";
import { use_run_events } from "../training/use_run_events";
import { has_ended } from "../training_words";
import { DeviceLinks } from "../trainings/device_links";
import { Reason } from "../trainings/reason";
import "../styles/training.css";

function seconds_between(from: string | undefined, to: string | undefined): number | undefined {
  return from === undefined || to === undefined ? undefined : (Date.parse(to) - Date.parse(from)) / 1000;
}

function end_facts({ started_at, completed_at }: Training): [string, ReactNode][] {
  if (!completed_at) return [];
  return [["Ended", moment(completed_at)], ["Took", duration(seconds_between(started_at, completed_at))]];
}

function Facts({ training }: { training: Training }) {
  const facts: [string, ReactNode][] = [
    ["Devices", <DeviceLinks training={training} />],
    ["Created", moment(training.created_at)],
    ["Started", moment(training.started_at)],
    ...end_facts(training),
    ["Loss", metric(training.metrics["loss"])],
    ["FVU", metric(training.metrics["fvu"])],
    ["L0", metric(training.metrics["l0"])],
    ["Activations/s", metric(training.metrics["activations_per_second"])],
  ];
  return (
    <dl className="training-facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Ways({ training }: { training: Training }) {
  return (
    <div className="buttons">
      <a className="way" href={new_link(training.id)}>
        duplicate
      </a>
      <a className="way" href={compare_link([training.id])}>
        compare
      </a>
      {has_ended(training) && <DeleteTraining training={training} />}
    </div>
  );
}

function Detail({ training }: { training: Training }) {
  const events = use_run_events(training.id);
  return (
    <>
      <section className="card" aria-label="State">
        <Progress training={training} />
        <Reason training={training} />
        <Facts training={training} />
      </section>
      <section aria-label="Charts">
        <TrainingCharts training={training} events={events.events} />
      </section>
      <div className="columns">
        <div className="stack">
          <Sae training={training} />
          <Checkpoints training={training} />
          <Events {...events} />
          <Log training={training} />
        </div>
        <Configuration id={training.id} config={training.config} />
      </div>
    </>
  );
}

export default function TrainingPage({ id }: { id: string }) {
  const asked = useQuery({
    queryKey: ["trainings", id],
    queryFn: () => load_training(id),
  });
  use_live_progress(asked.data ?? "");
  const training = use_trainings((state) => state.by_id[id]);
  use_title(training?.name ?? "Training");
  return (
    <article className="training" aria-labelledby="title">
      <p className="small">
        <a href="#/trainings">Trainings</a>
      </p>
      <div className="title-row">
        <h1 id="title">{training?.name ?? "Training"}</h1>
        {training && <Chip state={training.status} />}
        {training && <TrainingActions training={training} />}
        {training && <Ways training={training} />}
      </div>
      {asked.isError && <p role="alert" className="error">{asked.error.message}</p>}
      {asked.isPending && <p>Loading …</p>}
      {asked.data && training && <Detail training={training} />}
      {asked.data && !training && !asked.isFetching && <p>It was deleted.</p>}
    </article>
  );
}
