// When it starts, and what holds for it in the queue.
import type { ReactNode } from "react";
import { use_named_trainings } from "../live/trainings";
import { Chip } from "../parts/chip";
import { Segments } from "../parts/segments";
import { has_ended } from "../training_words";
import type { Errors } from "./errors";
import { Messages } from "./field";
import { change_form, type Form, use_form, WHEN } from "./state";

interface NumberProps {
  name: "priority" | "hours" | "minutes" | "max_restarts";
  label: string;
  most: number;
  placeholder: string;
  errors?: readonly string[] | undefined;
}

const NumberField = ({ name, label, most, placeholder, errors = [] }: NumberProps) => {
  const text = use_form((form) => form[name]);
  return (
    <div>
      <label>
        {label}
        <input type="number" min={0} max={most} step={1} value={text} placeholder={placeholder} aria-invalid={errors.length > 0}
          aria-describedby={`start-${name}-errors`} onChange={(event) => change_form({ [name]: event.target.value } as Partial<Form>)} />
      </label>
      <Messages id={`start-${name}-errors`} errors={errors} />
    </div>
  );
};

function After({ errors }: { errors: readonly string[] }) {
  const after = use_form((form) => form.after);
  const offered = use_named_trainings().filter((one) => !has_ended(one) || after.includes(one.id));
  const toggle = (id: string, on: boolean) => change_form({ after: on ? [...after, id] : after.filter((one) => one !== id) });
  if (offered.length === 0) return null;
  return (
    <details open={after.length > 0 || errors.length > 0 ? true : undefined}>
      <summary>After other trainings {after.length > 0 && <span className="small number">{after.length} chosen</span>}</summary>
      <ul className="after" aria-label="It starts once these are completed">
        {offered.map(({ id, name, status }) => (
          <li key={id}>
            <label className="check">
              <input type="checkbox" checked={after.includes(id)} onChange={(event) => toggle(id, event.target.checked)} />
              <span>{name}</span>
            </label>
            <Chip state={status} />
          </li>
        ))}
      </ul>
      <Messages id="after-errors" errors={errors} />
    </details>
  );
}

function Limits({ errors, queued }: { errors: Errors; queued: boolean }) {
  return (
    <div className="limits">
      {queued && <NumberField name="priority" label="Priority (0 to 100)" most={100} placeholder="0" errors={errors["priority"]} />}
      <NumberField name="hours" label="Time limit: hours" most={250000} placeholder="none" errors={errors["time_limit_s"]} />
      <NumberField name="minutes" label="and minutes" most={59} placeholder="none" />
      <NumberField name="max_restarts" label="Restarts by itself, at most" most={1000} placeholder="0" errors={errors["max_restarts"]} />
    </div>
  );
}

interface Props {
  errors: Errors;
  size: number;
  pending: boolean;
  refused: ReactNode;
}

export function StartCard({ errors, size, pending, refused }: Props) {
  const start = use_form((form) => form.start);
  const hold = use_form((form) => form.hold);
  const queued = start === "queue";
  const what = size > 1 ? ` ${size} trainings` : "";
  return (
    <section className="card" aria-labelledby="start">
      <div className="section-row">
        <h2 id="start">Start</h2>
        <Segments label="When" options={WHEN} chosen={start} choose={(when) => change_form({ start: when })} />
      </div>
      <p className="small">
        {queued
          ? "It starts when its devices are free and its turn has come: at once, if that is now."
          : "At once or not at all: it is refused where its devices are not free."}
      </p>
      <Limits errors={errors} queued={queued} />
      {queued && (
        <>
          <label className="check">
            <input type="checkbox" checked={hold} onChange={(event) => change_form({ hold: event.target.checked })} />
            <span>hold it until I release it</span>
          </label>
          <Messages id="hold-errors" errors={errors["hold"] ?? []} />
          <After errors={errors["after"] ?? []} />
        </>
      )}
      {refused}
      <button type="submit" className="primary" disabled={pending}>
        {pending ? "Asking …" : queued ? `Queue${what}` : `Start${what} now`}
      </button>
    </section>
  );
}
