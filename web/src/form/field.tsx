// One key: its name, what it is for, and what the server says of its value.
import { Said } from "../parts/said";
import { default_words, type Field } from "./fields";

interface Props {
  field: Field;
  text: string | undefined;
  change: (field: Field, text: string) => void;
  errors?: readonly string[] | undefined;
  hint?: string | undefined;
}

export const Messages = ({ id, errors }: { id: string; errors: readonly string[] }) =>
  errors.length === 0 ? null : (
    <ul id={id} className="field-errors">
      {errors.map((message) => (
        <li key={message} className="error">
          <Said words={message} />
        </li>
      ))}
    </ul>
  );

const BEYOND_ALL_USE = 1e6;

// Limits that somebody may meet.
function range_words({ type, minimum = 0, maximum = Infinity }: Field["schema"]): string {
  if (type !== "integer" && type !== "number") return "";
  if (maximum >= BEYOND_ALL_USE) return minimum > 0 ? ` At least ${minimum}.` : "";
  return ` ${minimum} to ${maximum}.`;
}

interface ControlProps extends Omit<Props, "errors" | "hint"> {
  id: string;
  "aria-describedby": string;
  "aria-invalid": boolean;
}

function Control({ field, text, change, ...more }: ControlProps) {
  const { schema } = field;
  const value = text ?? String(schema.default);
  if (schema.type === "boolean")
    return <input type="checkbox" {...more} checked={value === "true"} onChange={(event) => change(field, String(event.target.checked))} />;
  if (schema.enum !== undefined)
    return (
      <select {...more} value={value} onChange={(event) => change(field, event.target.value)}>
        {schema.enum.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    );
  return (
    <input type="text" {...more} value={text ?? ""} placeholder={default_words(field)} autoComplete="off" spellCheck={false}
      inputMode={schema.type === "string" ? "text" : "decimal"} onChange={(event) => change(field, event.target.value)} />
  );
}

export function FieldRow({ field, text, change, errors = [], hint }: Props) {
  const id = `field-${field.key}`;
  const { schema } = field;
  return (
    <div className="field">
      <label htmlFor={id}>
        {field.label} {field.key !== field.label && <code>{field.key}</code>}
      </label>
      <div className="field-value">
        <Control id={id} field={field} text={text} change={change} aria-describedby={`${id}-help ${id}-errors`} aria-invalid={errors.length > 0} />
        {schema["x-unit"] && <span className="small">{schema["x-unit"]}</span>}
      </div>
      <p id={`${id}-help`} className="small">
        {schema.description}.{range_words(schema)}
        {hint && <span className="hint number">{hint}</span>}
      </p>
      <Messages id={`${id}-errors`} errors={errors} />
    </div>
  );
}
