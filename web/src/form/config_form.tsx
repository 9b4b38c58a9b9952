// The configuration: what nearly every training decides, and below it everything else.
import { useState } from "react";
import { applies, type Field, main_of, type Values, with_value } from "./fields";
import type { Errors } from "./errors";
import { FieldRow } from "./field";
import { use_form } from "./state";

interface Props {
  fields: readonly Field[];
  values: Values;
  errors: Errors;
  hints: Readonly<Record<string, string>>;
}

interface FormProps extends Props {
  size: number; // trainings that the settings make
}

function change(field: Field, text: string): void {
  use_form.setState(({ values }) => ({ values: with_value(values, field, text) }));
}

function Rows({ fields, values, errors, hints }: Props) {
  return fields.map((field) => (
    <FieldRow key={field.key} field={field} text={values[field.key]} change={change} errors={errors[field.key]} hint={hints[field.key]} />
  ));
}

function matching(fields: readonly Field[], filter: string): Field[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return fields.filter(({ key, label, schema }) => words.every((word) => `${key} ${label} ${schema.description}`.toLowerCase().includes(word)));
}

function Others({ fields, ...rest }: Props) {
  const [opened, open] = useState(false);
  const [filter, set_filter] = useState("");
  const set = fields.filter(({ key }) => rest.values[key] !== undefined).length;
  const wrong = fields.filter(({ key }) => rest.errors[key] !== undefined); // never hidden
  const matched = matching(fields, filter);
  const shown = fields.filter((field) => matched.includes(field) || wrong.includes(field));
  const groups = [...new Set(shown.map(({ group }) => group))];
  return (
    <details className="others" open={opened || wrong.length > 0} onToggle={(event) => open(event.currentTarget.open)}>
      <summary>
        All settings <span className="small number">{set > 0 ? `${set} of ${fields.length} set` : `${fields.length} more`}</span>
      </summary>
      <label className="filter">
        Filter <input type="search" value={filter} onChange={(event) => set_filter(event.target.value)} placeholder="lr, adam, checkpoint …" />
      </label>
      {groups.map((group) => (
        <fieldset key={group} className="group">
          <legend>{group}</legend>
          <Rows fields={shown.filter((field) => field.group === group)} {...rest} />
        </fieldset>
      ))}
      {shown.length === 0 && <p className="small">No setting matches.</p>}
    </details>
  );
}

export function ConfigForm({ fields, values, errors, hints, size }: FormProps) {
  const used = fields.filter((field) => applies(field, fields, values));
  const main = main_of(used);
  return (
    <section className="card" aria-labelledby="settings">
      <h2 id="settings">Settings</h2>
      <p className="small" role="status">
        {size > 1 && <b className="hint">These settings make {size} trainings. </b>}
        What is left empty has its default. Several numbers with commas between them (<code>8, 16, 32</code>) make a training of each.
      </p>
      <div className="fields">
        <Rows fields={main} values={values} errors={errors} hints={hints} />
      </div>
      <Others fields={used.filter((field) => !main.includes(field))} values={values} errors={errors} hints={hints} />
    </section>
  );
}
