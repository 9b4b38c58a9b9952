// Which jobs held the device, as a band over the time shown, and as a list.
import { moment } from "../format";
import { TrainingName } from "../parts/training_name";
import { job_tints, type JobSpan } from "./device_series";

export function JobBand({ spans, from, to }: { spans: readonly JobSpan[]; from: number; to: number }) {
  const place = (time: number) => (100 * (Math.min(to, Math.max(from, time)) - from)) / (to - from);
  const tints = job_tints(spans);
  const tint = (job: string) => `tint-${tints.get(job)}`;
  return (
    <section className="card" aria-labelledby="jobs">
      <h2 id="jobs">Held by</h2>
      <div className="job-band" aria-hidden="true">
        {spans.map(({ job, from: start, to: end }) => (
          <span key={start} className={tint(job)} style={{ left: `${place(start)}%`, width: `${place(end) - place(start)}%` }} />
        ))}
      </div>
      {spans.length === 0 && <p className="small">No training held it in this time.</p>}
      <ol className="job-list" reversed>
        {[...spans].reverse().map(({ job, from: start, to: end }) => (
          <li key={start}>
            <span className={`tint ${tint(job)}`} aria-hidden="true" /> <TrainingName id={job} />{" "}
            <span className="small number">
              {moment(Math.max(start, from))} to {end >= to ? "now" : moment(end)}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
