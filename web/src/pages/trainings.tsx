import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import type { Training } from "../api/schema";
import { read_again } from "../live/read_again";
import { use_trainings } from "../live/store";
import { LIST_LIMIT, use_live_progress, use_training_list } from "../live/trainings";
import { use_part } from "../parts/part";
import { new_link, place_of, use_place, use_title } from "../router";
import { is_active, matches } from "../training_words";
import { BulkBar } from "../trainings/bulk_bar";
import { listed, type ListView, narrowed, view_link, view_of } from "../trainings/filter";
import { Filters } from "../trainings/filters";
import { TrainingTable } from "../trainings/table";

const FOLLOWED = 32; // step by step, of those that run

// To what the address holds by then: a page that is shown may be one change behind.
function change(some: Partial<ListView>): void {
  location.replace(view_link({ ...view_of(place_of(location.hash).query), ...some }));
}

function use_checked() {
  const [checked, set_checked] = useState<ReadonlySet<string>>(new Set());
  const check = useCallback((id: string, on: boolean) => {
    set_checked((before) => {
      const after = new Set(before);
      if (on) after.add(id);
      else after.delete(id);
      return after;
    });
  }, []);
  return { checked, check, set_checked };
}

// One that came live came without its configuration, by which the list is filtered.
function use_configurations(all: Training[]) {
  const queries = useQueryClient();
  const lacking = all.filter(({ config }) => Object.keys(config).length === 0).map(({ id }) => id).join(" ");
  useEffect(() => {
    if (lacking !== "") void read_again(queries, { queryKey: ["trainings", "list"] });
  }, [queries, lacking]);
}

function None({ all, view }: { all: Training[]; view: ListView }) {
  if (all.length === 0)
    return (
      <p>
        There is no training yet. <a href={new_link()}>Start one</a>, or <code>saemill submit FILE.toml</code> does.
      </p>
    );
  const text = view.text.trim();
  const words = [view.show === "all" ? "" : ` is ${view.show}`, text && ` matches “${text}”`, view.group && " is of that group"];
  return <p>None of the {all.length} trainings{words.filter(Boolean).join(" and")}.</p>;
}

function List({ shown, view }: { shown: Training[]; view: ListView }) {
  const { checked, check, set_checked } = use_checked();
  const [part, more] = use_part(shown);
  const chosen = shown.filter(({ id }) => checked.has(id));
  return (
    <>
      <BulkBar shown={shown} checked={chosen} check_all={(on) => set_checked(new Set(on ? shown.map(({ id }) => id) : []))} />
      {shown.length > 0 && <TrainingTable trainings={part} checked={checked} check={check} view={view} change={change} />}
      {more}
    </>
  );
}

export function TrainingsPage() {
  use_title("Trainings");
  const list = use_training_list();
  const all = Object.values(use_trainings((state) => state.by_id));
  use_live_progress(all.filter(is_active).slice(0, FOLLOWED).map(({ id }) => id).sort().join(" "));
  use_configurations(all);
  const view = view_of(use_place().query);
  const of_view = narrowed(all, view);
  const shown = listed(of_view, view);
  return (
    <section aria-labelledby="title">
      <div className="title-row">
        <h1 id="title">Trainings</h1>
        <Filters view={view} change={change} count={(show) => of_view.filter(({ status }) => matches(show, status)).length} />
      </div>
      {list.isError && <p role="alert" className="error">{list.error.message}</p>}
      {list.isPending && <p>Loading …</p>}
      {list.data && list.data.total > LIST_LIMIT && <p>The newest {LIST_LIMIT} of {list.data.total} are shown, and all that have not ended.</p>}
      {list.data && shown.length === 0 && <None all={all} view={view} />}
      {list.data && <List shown={shown} view={view} />}
    </section>
  );
}
