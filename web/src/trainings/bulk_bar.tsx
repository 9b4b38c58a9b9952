// What can be done with the checked ones, and what came of it.
import { useState } from "react";
import type { Training } from "../api/schema";
import { COLORS } from "../charts/looks";
import { ActionQuestion, is_asked_first } from "../parts/action_question";
import { compare_link, training_link } from "../router";
import { act_on_all, BULK, type BulkAction, how_many, type Outcome, outcome_words, takers } from "./bulk";

interface ToldProps {
  action: BulkAction;
  outcomes: Outcome[];
  others: number; // chosen, but not asked
}

function Told({ action, outcomes, others }: ToldProps) {
  const refused = outcomes.filter((one) => one.refused !== null);
  return (
    <>
      <p>{outcome_words(action, outcomes, others)}</p>
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
  const [told, set_told] = useState<ToldProps | null>(null);
  const act = async (action: BulkAction) => {
    set_busy(true);
    const asked = takers(checked, action);
    set_told({ action, outcomes: await act_on_all(asked, action), others: checked.length - asked.length });
    set_busy(false);
  };
  const all = checked.length === shown.length;
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
              onClick={() => (is_asked_first(action) ? set_asking(action) : void act(action))}>
              {action} {count}
            </button>
          ))}
        {checked.length >= 2 && checked.length <= COLORS && <a href={compare_link(checked.map(({ id }) => id))}>Compare {checked.length}</a>}
        {checked.length > COLORS && <span className="small">At most {COLORS} can be compared.</span>}
      </div>
      <div role="status">{told && <Told {...told} />}</div>
      {asking !== null && (
        <ActionQuestion
          action={asking}
          what={how_many(takers(checked, asking).length)}
          many
          answer={(sure) => {
            set_asking(null);
            if (sure) void act(asking);
          }}
        />
      )}
    </div>
  );
}
