// Which runs are compared.
import { COLORS } from "../charts/looks";
import { use_named_trainings } from "../live/trainings";
import { Mark } from "./scatter";
import type { Run } from "./use_runs";

interface Props {
  ids: readonly string[];
  runs: Run[];
  missing: { id: string; message: string }[];
  add: (id: string) => void;
  remove: (id: string) => void;
}

function Add({ ids, add }: Pick<Props, "ids" | "add">) {
  const others = use_named_trainings().filter(({ id }) => !ids.includes(id));
  if (ids.length >= COLORS) return <span className="small">{COLORS} are as many as can be told apart.</span>;
  return (
    <label>
      Add a run{" "}
      <select value="" onChange={(event) => add(event.target.value)}>
        <option value="">{others.length === 0 ? "there is no other" : "choose …"}</option>
        {others.map(({ id, name, status }) => (
          <option key={id} value={id}>
            {name} ({status}, {id.slice(0, 6)})
          </option>
        ))}
      </select>
    </label>
  );
}

export function Choice({ ids, runs, missing, add, remove }: Props) {
  return (
    <div className="run-choice">
      <ul aria-label="Compared runs">
        {runs.map((run) => (
          <li key={run.training.id}>
            <Mark run={run} />
            {run.name}
            <button type="button" className="plain" aria-label={`Remove ${run.name}`} title="Remove" onClick={() => remove(run.training.id)}>
              ×
            </button>
          </li>
        ))}
      </ul>
      {missing.map(({ id, message }) => (
        <p key={id} role="alert" className="error">
          {message}{" "}
          <button type="button" onClick={() => remove(id)}>
            leave it out
          </button>
        </p>
      ))}
      <Add ids={ids} add={add} />
    </div>
  );
}
