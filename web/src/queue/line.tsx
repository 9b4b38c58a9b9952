// What waits, as tables: in its order, which dragging changes, or apart from it.
import { useRef } from "react";
import type { Training } from "../api/schema";
import { use_part } from "../parts/part";
import { TableHead } from "../parts/table_head";
import { type Drag, use_drag } from "./drag";
import { ApartRow, LineRow, type PlaceProps } from "./rows";
import type { QueueOrder } from "./use_queue";

const HEADS = ["Training", "Priority", "Devices", "Waits because", "Expected start", "Age", "Actions"];

interface TableProps {
  trainings: Training[];
  queue: QueueOrder;
  caption: string;
}

const refusal_of = ({ refused }: QueueOrder, { id }: Training) => (refused?.id === id ? refused.message : null);

// Those that have no place: held or paused.
export function Apart({ trainings, queue, caption }: TableProps) {
  const [part, more] = use_part(trainings);
  return (
    <>
      <table className="trainings queue apart">
        <caption className="hidden">{caption}</caption>
        <TableHead names={HEADS} />
        <tbody>
          {part.map((training) => (
            <ApartRow key={training.id} training={training} refused={refusal_of(queue, training)} actions={queue.actions} />
          ))}
        </tbody>
      </table>
      {more}
    </>
  );
}

function state_of(drag: Drag | null, others: Training[], id: string): PlaceProps["state"] {
  if (drag === null) return undefined;
  if (id === drag.id) return "dragged";
  if (others[drag.place]?.id === id) return "lands-before";
  return drag.place === others.length && others.at(-1)?.id === id ? "lands-after" : undefined;
}

export function Line({ trainings, queue, caption }: TableProps) {
  const body = useRef<HTMLTableSectionElement>(null);
  const [part, more] = use_part(trainings);
  const { drag, grip } = use_drag(body, ({ id, place }) => {
    if (part.findIndex((training) => training.id === id) !== place) queue.actions.move(id, place);
  });
  const others = part.filter(({ id }) => id !== drag?.id);
  return (
    <>
      <table className="trainings queue">
        <caption className="hidden">{caption}</caption>
        <TableHead names={["Place", ...HEADS]} />
        <tbody ref={body} className={drag === null ? undefined : "dragging"}>
          {part.map((training, place) => (
            <LineRow key={training.id} training={training} refused={refusal_of(queue, training)} actions={queue.actions}
              place={place} last={trainings.length - 1} state={state_of(drag, others, training.id)} grip={grip} />
          ))}
        </tbody>
      </table>
      {more}
    </>
  );
}
