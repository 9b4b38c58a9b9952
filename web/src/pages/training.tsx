import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { get } from "../api/client";
import type { Training } from "../api/schema";
import { duration, metric, moment } from "../format";
import { use_live_progress, use_trainings } from "../live/store";
import { with_training } from "../live/trainings_state";
import { Chip } from "../parts/chip";
import { Progress } from "../parts/progress";
import { TrainingActions } from "../parts/training_actions";
import { TrainingCharts } from "../parts/training_charts";
import { Sae } from "../parts/training_files";
import { Events, Log } from "../parts/training_texts";
import { compare_link, new_link, use_title } from "../router";
import { Checkpoints } from "../training/checkpoints";
import { Configuration } from "../training/configuration";
import { DeviceLinks } from "../trainings/device_links";
import { DeleteTraining } from "../training/delete_training";
import { use_run_events } from "../training/use_run_events";
import { has_ended, reason_words } from "../training_words";
import "../styles/training.css";

function seconds_between(from: string | undefined, to: string | undefined): number | undefined {
  return from === undefined || to === undefined ? undefined : (Date.parse(to) - Date.parse(from)) / 1000;
}

function Facts({ training }: { training: Training }) {
  const facts: [string, ReactNode][] = [
    ["Devices", <DeviceLinks training={training} />],
    ["Created", moment(training.created_at)],
    ["Started", moment(training.started_at)],
    ...(training.completed_at
      ? ([["Ended", moment(training.completed_at)], ["Took", duration(seconds_between(training.started_at, training.completed_at))]] as [string, ReactNode][])
      : []),
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
  const reason = reason_words(training);
  const events = use_run_events(training.id);
  return (
    <>
      <section className="card" aria-label="State">
        <Progress training={training} />
        {reason && <p className={training.error ? "error" : undefined}>{reason}</p>}
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
        <Configuration training={training} />
      </div>
    </>
  );
}

export default function TrainingPage({ id }: { id: string }) {
  const asked = useQuery({
    queryKey: ["trainings", id],
    queryFn: async () => {
      const asked_at = Date.now();
      const answer = await get<Training>(`trainings/${encodeURIComponent(id)}`);
      use_trainings.setState((state) => with_training(state, answer, asked_at));
      return answer.id;
    },
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
