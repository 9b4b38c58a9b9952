// What is listed: by state, by words, by group; and the order where the table's head is not shown.
import { useEffect, useRef, useState } from "react";
import { Segments } from "../parts/segments";
import { FILTERS } from "../training_words";
import { type ChangeView, COLUMNS, type ListView, type SortColumn } from "./filter";
import { SORTED } from "./table";

// Its own state, since the address is told of a change only after it was shown.
function TextFilter({ text, change }: { text: string; change: (text: string) => void }) {
  const [typed, set_typed] = useState(text);
  const told = useRef(text);
  useEffect(() => {
    if (text === told.current) return;
    told.current = text;
    set_typed(text);
  }, [text]);
  return (
    <label className="text-filter">
      Filter{" "}
      <input
        type="search"
        value={typed}
        placeholder="name, id, k=16 …"
        autoComplete="off"
        onChange={(event) => {
          told.current = event.target.value;
          set_typed(event.target.value);
          change(event.target.value);
        }}
      />
    </label>
  );
}

interface Props {
  view: ListView;
  change: ChangeView;
  count: (show: ListView["show"]) => number;
}

export function Filters({ view, change, count }: Props) {
  return (
    <div className="filters">
      <Segments label="Show" options={FILTERS} chosen={view.show} note={(one) => String(count(one))} choose={(show) => change({ show })} />
      <TextFilter text={view.text} change={(text) => change({ text })} />
      <label className="sort-choice">
        Sort by{" "}
        <select
          value={(view.descending ? "-" : "") + view.sort}
          onChange={({ target: { value } }) =>
            change({ sort: value.replace(/^-/, "") as SortColumn, descending: value.startsWith("-") })
          }
        >
          {COLUMNS.flatMap((column) =>
            ["", "-"].map((sign) => (
              <option key={sign + column} value={sign + column}>
                {SORTED.find(([one]) => one === column)?.[1].toLowerCase()} {sign === "" ? "↑" : "↓"}
              </option>
            )),
          )}
        </select>
      </label>
      {view.group !== "" && (
        <span>
          of group <code>{view.group.slice(0, 6)}</code>{" "}
          <button type="button" onClick={() => change({ group: "" })}>
            all groups
          </button>
        </span>
      )}
    </div>
  );
}
