// What the runs came to, and what they differ in.
import type { ReactNode } from "react";
import type { MetricCatalog } from "../api/schema";
import { config_differences } from "../config_difference";
import { ABSENT, count, metric } from "../format";
import { Chip } from "../parts/chip";
import { training_link } from "../router";
import { DeviceLinks } from "../trainings/device_links";
import { best_of, direction_of, pareto_front, point_of } from "./results";
import { Mark } from "./scatter";
import type { Run } from "./use_runs";

const COMPARED = ["fvu", "l0", "loss", "dead_fraction", "activations_per_second"];

// Wide tables move within themselves, by keyboard, too.
function Wide({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="wide-table" role="group" aria-label={`Table: ${label}`} tabIndex={0}>
      {children}
    </div>
  );
}

function RunName({ run }: { run: Run }) {
  return (
    <span className="run-name">
      <Mark run={run} />
      <a href={training_link(run.training.id)} title={run.name}>{run.label}</a>
    </span>
  );
}

export function Results({ runs, catalog }: { runs: Run[]; catalog: MetricCatalog }) {
  const best = COMPARED.map((name) => best_of(runs.map(({ training }) => training.metrics[name]), direction_of(catalog, name)));
  const front = pareto_front(runs.map(({ training }) => point_of(training.metrics)));
  const row_of = (name: string) => catalog.data.find((row) => row.name === name);
  return (
    <section className="card" aria-labelledby="results">
      <h2 id="results">Results</h2>
      <Wide label="Results">
        <table className="compare-table">
          <thead>
            <tr>
              <th scope="col">Run</th>
              {COMPARED.map((name) => (
                <th key={name} scope="col" className="number">
                  {row_of(name)?.label ?? name} <small>{row_of(name)?.unit}</small>
                </th>
              ))}
              <th scope="col">Pareto front</th>
              <th scope="col" className="number">Steps</th>
              <th scope="col" className="number">Devices</th>
            </tr>
          </thead>
          <tbody>
            {runs.map((run, i) => (
              <tr key={run.training.id}>
                <th scope="row">
                  <RunName run={run} />
                  <div>
                    <Chip state={run.training.status} />
                  </div>
                </th>
                {COMPARED.map((name, column) => {
                  const is_best = best[column]?.includes(i);
                  return (
                    <td key={name} className={is_best ? "number best" : "number"}>
                      {metric(run.training.metrics[name])}
                      {is_best && <small>best</small>}
                    </td>
                  );
                })}
                <td>{point_of(run.training.metrics) === null ? ABSENT : front.includes(i) ? "yes" : "no"}</td>
                <td className="number">{count(run.training.current_step)}</td>
                <td className="number">
                  <DeviceLinks training={run.training} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Wide>
    </section>
  );
}

export function Differences({ runs }: { runs: Run[] }) {
  const rows = config_differences(runs.map(({ training }) => training.config)).filter(({ key }) => key !== "name");
  return (
    <section className="card" aria-labelledby="differences">
      <h2 id="differences">Configurations</h2>
      {rows.length === 0 ? (
        <p className="small">They are the same.</p>
      ) : (
        <Wide label="Configurations">
          <table className="compare-table">
            <caption className="hidden">The keys in which they differ</caption>
            <thead>
              <tr>
                <th scope="col">Key</th>
                {runs.map((run) => (
                  <th key={run.training.id} scope="col">
                    <RunName run={run} />
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(({ key, values }) => (
                <tr key={key}>
                  <th scope="row">
                    <code>{key}</code>
                  </th>
                  {values.map((value, i) => (
                    <td key={runs[i]?.training.id}>{value === undefined ? ABSENT : <code>{value}</code>}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </Wide>
      )}
    </section>
  );
}
