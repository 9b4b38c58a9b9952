// One of a few: radio buttons that look like a switch.
import { useId } from "react";

interface Props<Option extends string> {
  label: string;
  options: readonly Option[];
  chosen: Option;
  choose: (option: Option) => void;
  note?: (option: Option) => string;
}

export function Segments<Option extends string>({ label, options, chosen, choose, note }: Props<Option>) {
  const name = useId();
  return (
    <fieldset className="segments">
      <legend className="hidden">{label}</legend>
      {options.map((option) => (
        <label key={option}>
          <input type="radio" name={name} checked={option === chosen} onChange={() => choose(option)} />
          <span>
            {option}
            {note && <small>{note(option)}</small>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}
