// What a training printed, told and was asked for.
import { useQuery } from "@tanstack/react-query";
import { useLayoutEffect, useRef, useState } from "react";
import { get, get_text } from "../api/client";
import type { RunEvent, Training, TrainingEventList } from "../api/schema";
import { count, flattened, moment } from "../format";
import { is_active } from "../training_words";

const READ_AGAIN_MS = 2000;
const LINES = 200;

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
  const log = useQuery({
    queryKey: ["trainings", training.id, "logs", rank, training.status],
    queryFn: () => get_text(`trainings/${encodeURIComponent(training.id)}/logs?rank=${rank}&tail=${LINES}`),
    refetchInterval: is_active(training) ? READ_AGAIN_MS : false,
    placeholderData: (before) => before,
  });
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
      {log.isError && <p role="alert" className="error">{log.error.message}</p>}
      {log.data !== undefined && <Lines text={log.data || "It is empty."} />}
    </section>
  );
}

function words_of(event: RunEvent): string {
  const said = event["message"] ?? event["error"] ?? event["reason"];
  return typeof said === "string" ? said : "";
}

export function Events({ training }: { training: Training }) {
  const events = useQuery({
    queryKey: ["trainings", training.id, "events", training.status],
    queryFn: () => get<TrainingEventList>(`trainings/${encodeURIComponent(training.id)}/events?limit=500`),
    refetchInterval: is_active(training) ? READ_AGAIN_MS : false,
    placeholderData: (before) => before,
  });
  return (
    <section className="card" aria-labelledby="events">
      <h2 id="events">Events</h2>
      {events.isError && <p role="alert" className="error">{events.error.message}</p>}
      {events.data?.data.length === 0 && <p className="small">There is none yet.</p>}
      <ol className="events" reversed>
        {events.data?.data.slice().reverse().map((event) => (
          <li key={event.seq}>
            <span className="small number">{moment(event["time"] as string | undefined)}</span> <b>{event.event}</b>
            {typeof event["step"] === "number" && <span className="number"> at step {count(event["step"])}</span>} {words_of(event)}
          </li>
        ))}
      </ol>
    </section>
  );
}

export function Configuration({ training }: { training: Training }) {
  return (
    <section className="card" aria-labelledby="configuration">
      <h2 id="configuration">Configuration</h2>
      <table className="configuration">
        <tbody>
          {flattened(training.config).map(([key, value]) => (
            <tr key={key}>
              <th scope="row">
                <code>{key}</code>
              </th>
              <td>
                <code>{value}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
