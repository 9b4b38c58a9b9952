import { type FormEvent, useEffect, useRef, useState } from "react";
import { Refusal } from "../api/client";
import { use_fields, use_source } from "../form/asking";
import { use_checked } from "../form/checked";
import { ConfigForm } from "../form/config_form";
import { ConfigText } from "../form/config_text";
import { DeviceChoice } from "../form/device_choice";
import { type Errors, errors_of, joined } from "../form/errors";
import { EstimateCard } from "../form/estimate_card";
import { config_of, type Field, group_size, steps_of } from "../form/fields";
import { epoch_of, hints_of } from "../form/hints";
import { Holders } from "../form/holder";
import { use_recommended } from "../form/recommended";
import { StartCard } from "../form/start_card";
import { change_form, EMPTY, filled_from, type Form, request_of, use_form } from "../form/state";
import { use_submission } from "../form/submission";
import { use_devices } from "../live/store";
import { place_of, training_link, use_title } from "../router";
import "../styles/form.css";

const REFUSED = "Nothing was started: what is wrong is told where it stands.";
const UNANSWERED = "The server did not answer. Try again: nothing is started twice.";
const TAKEN = ["gpu_unavailable", "insufficient_gpus"];

const General = ({ messages }: { messages: readonly string[] }) =>
  messages.length === 0 ? null : (
    <div role="alert" className="card general">
      {messages.map((message) => <p key={message} className="error">{message}</p>)}
    </div>
  );

// The devices that a training would have: chosen, or what the server would choose now.
function use_devices_ahead(form: Form, chosen: ReturnType<typeof use_checked>["chosen"], required: number | undefined) {
  const gpus = use_devices((state) => state.gpus) ?? [];
  const best = use_recommended(required)?.answer?.choices[0]?.device_uuids ?? [];
  return form.devices === "these" ? chosen : gpus.filter(({ uuid }) => best.includes(uuid));
}

// The first field that is refused, once it is drawn as such.
function use_focus_on_refusal(error: Error | null) {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (error === null) return;
    const field = form.current?.querySelector<HTMLElement>("[aria-invalid=true]");
    if (field) field.focus();
    else form.current?.querySelector(".general, .field-errors, .taken")?.scrollIntoView({ block: "nearest" });
  }, [error]);
  return form;
}

function Body({ fields }: { fields: readonly Field[] }) {
  const form = use_form();
  const [attempted, attempt] = useState(false);
  const config = config_of(fields, form.values);
  const size = group_size(config);
  const checked = use_checked(form, fields, config, attempted);
  const { estimate, inspection, required } = checked;
  const devices = use_devices_ahead(form, checked.chosen, required);
  // What was chosen is held now, and whoever tries the next one changes a value or two.
  const submission = use_submission(() => change_form({ ...EMPTY, values: form.values }));
  const form_element = use_focus_on_refusal(submission.error);

  const request = request_of(form, config);
  const error = submission.sent === JSON.stringify(request) ? submission.error : null; // of the form as it is
  const taken = error instanceof Refusal && TAKEN.includes(error.problem.code) && form.start === "now";
  const keys = fields.map(({ key }) => key);
  const refused: Errors =
    error instanceof Refusal && !taken ? errors_of({ errors: error.errors, detail: error.message }, keys, form.gpu_ids, true) : {};
  const errors = joined([checked.errors, refused]);
  const rows = inspection?.answer?.rows;
  const batch = estimate?.batch.global;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    attempt(true);
    submission.send(request);
  };
  const queue_instead = () => {
    change_form({ start: "queue", busy_too: true });
    submission.send(request_of({ ...form, start: "queue" }, config));
  };
  return (
    <form ref={form_element} className="new-training" noValidate onSubmit={submit}>
      <div className="form-main">
        <General messages={errors[""] ?? []} />
        <ConfigForm fields={fields} values={form.values} errors={errors} hints={hints_of(form.values, inspection, estimate)} size={size} />
      </div>
      <div className="form-aside">
        <DeviceChoice required={required} issues={checked.issues} errors={errors} />
        <EstimateCard estimate={estimate} devices={devices} epoch={epoch_of(rows, batch)} size={size}
          steps={batch === undefined ? undefined : steps_of(config, batch, rows)} />
      </div>
      <div className="form-start">
        <StartCard errors={errors} size={size} pending={submission.pending}
          refused={error && (
            <div role="alert" className="taken">
              <p className="error">{taken ? `Not now: ${error.message}.` : error instanceof Refusal ? REFUSED : UNANSWERED}</p>
              {taken && <Holders uuids={form.devices === "these" ? form.gpu_ids : null} />}
              {taken && <button type="button" onClick={queue_instead}>Queue it instead</button>}
            </div>
          )} />
        <ConfigText config={config} />
      </div>
    </form>
  );
}

// Once: what was changed since stays.
function use_filled(from: string | null, fields: readonly Field[] | undefined) {
  const source = use_source(from);
  const filled = use_form((form) => form.from);
  const training = source.data;
  useEffect(() => {
    // The page may be about to be left, or cleared.
    const still_asked = place_of(location.hash).query.get("from") === from;
    if (training && fields && still_asked && training.id === from && filled !== from) use_form.setState(filled_from(training, fields));
  }, [training, fields, filled, from]);
  return source;
}

export default function NewTrainingPage({ from }: { from: string | null }) {
  use_title("New training");
  const schema = use_fields();
  const fields = schema.data;
  const source = use_filled(from, fields);
  const filled = use_form((form) => form.from);
  const clear = () => {
    location.replace("#/new");
    use_form.setState(EMPTY);
  };
  return (
    <section aria-labelledby="title">
      <div className="title-row">
        <h1 id="title">New training</h1>
        <button type="button" onClick={clear}>Clear</button>
        {filled !== null && <p className="small">Filled from <a href={training_link(filled)}>{source.data?.name ?? filled}</a>.</p>}
      </div>
      {schema.isPending && <p>Loading …</p>}
      {schema.isError && <p role="alert" className="error">{schema.error.message}</p>}
      {source.isError && <p role="alert" className="error">{source.error.message}</p>}
      {fields && <Body fields={fields} />}
    </section>
  );
}
