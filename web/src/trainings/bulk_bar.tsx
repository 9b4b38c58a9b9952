// What can be done with the checked ones, and what came of it.
import { useState } from "react";
import type { Training } from "../api/schema";
import { use_trainings } from "../live/store";
import { with_training } from "../live/trainings_state";
import { Confirm } from "../parts/confirm";
import { compare_link, training_link } from "../router";
import { act_on_all, BULK, type BulkAction, how_many, type Outcome, outcome_words, QUESTIONS, takers } from "./bulk";

const MOST_COMPARED = 8; // as many curves as can be told apart

function Told({ action, outcomes }: { action: BulkAction; outcomes: Outcome[] }) {
  const refused = outcomes.filter((one) => one.refused !== null);
  return (
    <>
      <p>{outcome_words(action, outcomes)}</p>
      {refused.length > 0 && (
        <ul className="error">
          {refused.map(({ id, name, refused: why }) => (
            <li key={id}>
              <a href={training_link(id)}>{name}</a>: {why}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

interface Props {
  shown: Training[];
  checked: Training[];
  check_all: (checked: boolean) => void;
}

export function BulkBar({ shown, checked, check_all }: Props) {
  const [asking, set_asking] = useState<BulkAction | null>(null);
  const [busy, set_busy] = useState(false);
  const [told, set_told] = useState<{ action: BulkAction; outcomes: Outcome[] } | null>(null);
  const act = async (action: BulkAction) => {
    set_busy(true);
    const outcomes = await act_on_all(takers(checked, action), action, (answer, asked_at) =>
      use_trainings.setState((state) => with_training(state, answer, asked_at)),
    );
    set_told({ action, outcomes });
    set_busy(false);
  };
  const all = checked.length === shown.length;
  const what = asking === null ? "" : how_many(takers(checked, asking).length);
  const question = asking === null ? undefined : QUESTIONS[asking];
  return (
    <div className="bulk">
      <div className="bulk-row" role="group" aria-label="The chosen trainings" hidden={shown.length === 0}>
        <label>
          <input
            type="checkbox"
            checked={all}
            ref={(box) => {
              if (box) box.indeterminate = checked.length > 0 && !all;
            }}
            onChange={(event) => check_all(event.target.checked)}
          />{" "}
          {checked.length === 0 ? `Choose all ${shown.length}` : `${checked.length} chosen`}
        </label>
        {BULK.map((action) => ({ action, count: takers(checked, action).length }))
          .filter(({ count }) => count > 0)
          .map(({ action, count }) => (
            <button key={action} type="button" disabled={busy} className={action === "cancel" || action === "delete" ? "danger" : undefined}
              onClick={() => (QUESTIONS[action] ? set_asking(action) : void act(action))}>
              {action} {count}
            </button>
          ))}
        {checked.length >= 2 && checked.length <= MOST_COMPARED && <a href={compare_link(checked.map(({ id }) => id))}>Compare {checked.length}</a>}
        {checked.length > MOST_COMPARED && <span className="small">At most {MOST_COMPARED} can be compared.</span>}
      </div>
      <div role="status">{told && <Told {...told} />}</div>
      {asking !== null && question !== undefined && (
        <Confirm
          question={`${asking.charAt(0).toUpperCase()}${asking.slice(1)} ${what}?`}
          detail={question.detail}
          yes={question.yes(what)}
          answer={(sure) => {
            set_asking(null);
            if (sure) void act(asking);
          }}
        />
      )}
    </div>
  );
}
