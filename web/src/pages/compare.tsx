import { COLORS } from "../charts/looks";
import { CompareCharts } from "../compare/charts";
import { Choice } from "../compare/choice";
import { AXES, type RunAxis } from "../compare/overlay";
import { Scatter } from "../compare/scatter";
import { Differences, Results } from "../compare/tables";
import { use_runs } from "../compare/use_runs";
import { compare_link, place_of, use_place, use_title } from "../router";
import { use_catalog } from "../training/use_catalog";
import "../styles/compare.css";

interface Comparison {
  ids: string[]; // as the address has them
  axis: RunAxis;
  metrics: string[]; // beside those that are always shown
}

const listed = (words: string | null) => (words ?? "").split(",").filter(Boolean);

// #/compare?ids=a,b&x=elapsed&metrics=mse: the address holds what is compared, and how.
function comparison_of(query: URLSearchParams): Comparison {
  return { ids: listed(query.get("ids")), axis: AXES.find((one) => one === query.get("x")) ?? "step", metrics: listed(query.get("metrics")) };
}

// To what the address holds by then: a page that is shown may be one change behind.
function change(some: (now: Comparison) => Partial<Comparison>): void {
  const now = comparison_of(place_of(location.hash).query);
  const { ids, axis, metrics } = { ...now, ...some(now) };
  const more = [axis === "step" ? "" : `&x=${axis}`, metrics.length === 0 ? "" : `&metrics=${metrics.map(encodeURIComponent).join()}`];
  location.replace(compare_link(ids) + more.join(""));
}

const add_run = (id: string) => change(({ ids }) => ({ ids: [...ids, id] }));
const remove_run = (id: string) => change(({ ids }) => ({ ids: ids.filter((one) => one !== id) }));
const choose_axis = (axis: RunAxis) => change(() => ({ axis }));
const add_metric = (name: string) => change(({ metrics }) => ({ metrics: [...metrics, name] }));
const remove_metric = (name: string) => change(({ metrics }) => ({ metrics: metrics.filter((one) => one !== name) }));

export default function ComparePage({ ids: asked }: { ids: string[] }) {
  use_title("Compare");
  const ids = [...new Set(asked)].slice(0, COLORS);
  const { axis, metrics } = comparison_of(use_place().query);
  const { runs, missing, pending } = use_runs(ids);
  const catalog = use_catalog();
  return (
    <article className="compare" aria-labelledby="title">
      <p className="small">
        <a href="#/trainings">Trainings</a>
      </p>
      <div className="title-row">
        <h1 id="title">Compare</h1>
      </div>
      <Choice ids={ids} runs={runs} missing={missing} add={add_run} remove={remove_run} />
      {catalog.isError && <p role="alert" className="error">{catalog.error.message}</p>}
      {pending && <p>Loading …</p>}
      {ids.length < 2 && !pending && <p>Choose at least two runs, here or in the <a href="#/trainings">list</a>.</p>}
      {asked.length > ids.length && <p>Only the first {ids.length} different ones are compared.</p>}
      {runs.length > 1 && catalog.data && (
        <>
          <div className="outcome">
            <Scatter runs={runs} />
            <Results runs={runs} catalog={catalog.data} />
          </div>
          <CompareCharts runs={runs} catalog={catalog.data} axis={axis} choose_axis={choose_axis} metrics={metrics} add_metric={add_metric}
            remove_metric={remove_metric} />
          <Differences runs={runs} />
        </>
      )}
    </article>
  );
}
