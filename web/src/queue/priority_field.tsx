// 0 to 100, sent with Enter or when it is left.
import { useState } from "react";
import type { Training } from "../api/schema";
import { MOST_PRIORITY } from "./order";
import type { QueueActions } from "./use_queue";

export function PriorityField({ training, actions }: { training: Training; actions: QueueActions }) {
  const [typed, set_typed] = useState<string | null>(null); // null: as the server has it
  if (!training.actions.includes("prioritize")) return <span className="number">{training.priority}</span>;
  const send = (input: HTMLInputElement) => {
    if (typed === null) return;
    if (!input.checkValidity()) return void input.reportValidity();
    set_typed(null);
    if (Number(typed) !== training.priority) actions.prioritize(training.id, Number(typed));
  };
  return (
    <input
      type="number"
      className="priority number"
      id={`priority-${training.id}`}
      aria-label={`Priority of ${training.name}, 0 to ${MOST_PRIORITY}`}
      min={0}
      max={MOST_PRIORITY}
      step={1}
      required
      value={typed ?? String(training.priority)}
      onChange={(event) => set_typed(event.target.value)}
      onBlur={({ currentTarget }) => (currentTarget.checkValidity() ? send(currentTarget) : set_typed(null))}
      onKeyDown={({ key, currentTarget }) => {
        if (key === "Enter") send(currentTarget);
        if (key === "Escape") set_typed(null);
      }}
    />
  );
}
