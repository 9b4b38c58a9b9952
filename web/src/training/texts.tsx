// What a training printed, told and was asked for.
import { memo, useLayoutEffect, useRef, useState } from "react";
import type { RunEvent, Training } from "../api/schema";
import { count, moment } from "../format";
import { use_part } from "../parts/part";
import { event_words } from "./run_events";
import { LINES, use_log } from "./use_log";

// Stays at its end while the reader is there.
function Lines({ text }: { text: string }) {
  const box = useRef<HTMLPreElement>(null);
  const at_end = useRef(true);
  useLayoutEffect(() => {
    if (at_end.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  const scrolled = ({ currentTarget: { scrollTop, clientHeight, scrollHeight } }: { currentTarget: HTMLElement }) => {
    at_end.current = scrollTop + clientHeight > scrollHeight - 20;
  };
  return (
    <pre ref={box} className="log" tabIndex={0} aria-label={`The last ${LINES} lines`} onScroll={scrolled}>
      {text}
    </pre>
  );
}

export function Log({ training }: { training: Training }) {
  const [rank, set_rank] = useState("launcher");
  const ranks = ["launcher", ...Array.from({ length: training.world_size }, (_, i) => String(i))];
  const { text, problem } = use_log(training, rank);
  return (
    <section className="card" aria-labelledby="log">
      <div className="section-row">
        <h2 id="log">Log</h2>
        <label className="small">
          of{" "}
          <select value={rank} onChange={(event) => set_rank(event.target.value)}>
            {ranks.map((one) => (
              <option key={one} value={one}>
                {one === "launcher" ? one : `rank ${one}`}
              </option>
            ))}
          </select>
        </label>
      </div>
      {problem !== null && <p role="alert" className="error">{problem}</p>}
      {text !== undefined && <Lines text={text || "It is empty."} />}
    </section>
  );
}

const SHAPED: Record<string, string> = { failed: "error", warning: "warning", rewind: "warning" };

interface EventsProps {
  events: RunEvent[];
  known: boolean;
  problem: string | null;
}

export const Events = memo(function Events({ events, known, problem }: EventsProps) {
  const [part, more] = use_part([...events].reverse());
  return (
    <section className="card" aria-labelledby="events">
      <h2 id="events">Events</h2>
      {problem !== null && <p role="alert" className="error">{problem}</p>}
      {known && events.length === 0 && <p className="small">There is none yet.</p>}
      <ol className="events" reversed tabIndex={events.length > 0 ? 0 : undefined} aria-label="Newest first">
        {part.map((event) => (
          <li key={event.seq} className={SHAPED[event.event]}>
            <span className="small number">{moment(event["time"] as string | undefined)}</span> <b>{event.event}</b>
            {typeof event["step"] === "number" && <span className="number"> at step {count(event["step"])}</span>} {event_words(event)}
          </li>
        ))}
      </ol>
      {more}
    </section>
  );
});
