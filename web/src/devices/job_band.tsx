// Which jobs held the device, as a band over the time shown, and as a list.
import { moment } from "../format";
import { use_trainings } from "../live/store";
import { training_link } from "../router";
import { type JobSpan } from "./device_series";

const TINTS = 4; // neighbours differ

function Name({ job }: { job: string }) {
  const name = use_trainings((state) => state.by_id[job]?.name);
  return <a href={training_link(job)}>{name ?? job}</a>;
}

const at = (time: number) => moment(new Date(time * 1000).toISOString());

export function JobBand({ spans, from, to }: { spans: readonly JobSpan[]; from: number; to: number }) {
  const place = (time: number) => (100 * (Math.min(to, Math.max(from, time)) - from)) / (to - from);
  return (
    <section className="card" aria-labelledby="jobs">
      <h2 id="jobs">Held by</h2>
      <div className="job-band" aria-hidden="true">
        {spans.map(({ from: start, to: end }, i) => (
          <span key={start} className={`tint-${i % TINTS}`} style={{ left: `${place(start)}%`, width: `${place(end) - place(start)}%` }} />
        ))}
      </div>
      {spans.length === 0 && <p className="small">No training held it in this time.</p>}
      <ol className="job-list" reversed>
        {[...spans.entries()].reverse().map(([i, { job, from: start, to: end }]) => (
          <li key={start}>
            <span className={`tint tint-${i % TINTS}`} aria-hidden="true" /> <Name job={job} />{" "}
            <span className="small number">
              {at(Math.max(start, from))} to {end >= to ? "now" : at(end)}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
