// The checkpoints of a training: to download, to go on from, to delete.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { erase, get, path_of } from "../api/client";
import type { Checkpoint, CheckpointList, Training } from "../api/schema";
import { bytes, count, moment } from "../format";
import { read_again } from "../live/read_again";
import { live } from "../live/store";
import { control } from "../live/trainings";
import { Confirm } from "../parts/confirm";
import { is_active } from "../training_words";
import { CheckpointFiles } from "./files";

// How a training in this state goes on; null: it does not.
function way_on({ actions }: Training): "resume" | "retry" | null {
  return actions.includes("resume") ? "resume" : actions.includes("retry") ? "retry" : null;
}

interface Act {
  kind: "resume" | "delete";
  checkpoint: Checkpoint;
}

function use_acts(training: Training) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ kind, checkpoint: { name } }: Act) => {
      const action = way_on(training);
      if (kind === "delete") await erase(path_of("trainings", training.id, "checkpoints", name));
      else if (action !== null) await control(training.id, action, { checkpoint: name });
    },
    onSettled: () => read_again(queries, { queryKey: ["trainings", training.id, "checkpoints"], exact: true }),
  });
}

function Question({ act: { kind, checkpoint }, later, answer }: { act: Act; later: number; answer: (sure: boolean) => void }) {
  const steps = `the checkpoint after ${count(checkpoint.step)} steps`;
  if (kind === "delete")
    return <Confirm question={`Delete ${steps}?`} detail="Its files are erased." yes="Yes, delete it" answer={answer} />;
  const lost = later === 0 ? "" : ` ${later === 1 ? "The later one is" : `The ${count(later)} later ones are`} deleted once it is under way.`;
  return (
    <Confirm question={`Go on from ${steps}?`} detail={`The steps after it are trained again, and their metrics replaced.${lost}`}
      yes="Yes, go on from it" no="No, leave it as it is" answer={answer} />
  );
}

interface RowProps {
  training: Training;
  checkpoint: Checkpoint;
  pending: boolean;
  ask: (act: Act) => void;
}

function Row({ training, checkpoint, pending, ask }: RowProps) {
  const { name, step, bytes: size, time } = checkpoint;
  const words = `the checkpoint after ${count(step)} steps`;
  return (
    <li>
      <div className="section-row">
        <span>
          after {count(step)} steps{" "}
          <span className="small number">
            {bytes(size)} · {moment(time)}
          </span>
        </span>
        <span className="buttons">
          {way_on(training) !== null && (
            <button type="button" disabled={pending} aria-label={`resume from here: ${words}`}
              onClick={() => ask({ kind: "resume", checkpoint })}>
              resume from here
            </button>
          )}
          {!is_active(training) && (
            <button type="button" className="danger" disabled={pending} aria-label={`delete ${words}`}
              onClick={() => ask({ kind: "delete", checkpoint })}>
              delete
            </button>
          )}
        </span>
      </div>
      <CheckpointFiles id={training.id} name={name} />
    </li>
  );
}

export function Checkpoints({ training }: { training: Training }) {
  const { id } = training;
  const queries = useQueryClient();
  const [asking, set_asking] = useState<Act | null>(null);
  const act = use_acts(training);
  useEffect(() => {
    const read = () => void read_again(queries, { queryKey: ["trainings", id, "checkpoints"], exact: true });
    return live.subscribe(`trainings/${id}/checkpoints`, { message: read, reset: read });
  }, [id, queries]);
  const list = useQuery({
    queryKey: ["trainings", id, "checkpoints"],
    queryFn: () => get<CheckpointList>(path_of("trainings", id, "checkpoints")),
  });
  const checkpoints = list.data?.data ?? [];
  return (
    <section className="card" aria-labelledby="checkpoints">
      <h2 id="checkpoints">Checkpoints</h2>
      {list.isError && <p role="alert" className="error">{list.error.message}</p>}
      {act.isError && <p role="alert" className="error">{act.error.message}</p>}
      {list.data && checkpoints.length === 0 && <p className="small">There is none.</p>}
      <ul className="files">
        {checkpoints.map((checkpoint) => (
          <Row key={checkpoint.name} training={training} checkpoint={checkpoint} pending={act.isPending} ask={set_asking} />
        ))}
      </ul>
      {asking !== null && (
        <Question
          act={asking}
          later={checkpoints.filter(({ step }) => step > asking.checkpoint.step).length}
          answer={(sure) => {
            set_asking(null);
            if (sure) act.mutate(asking);
          }}
        />
      )}
    </section>
  );
}
