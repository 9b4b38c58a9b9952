// Which trainings are listed and in which order: all of it is in the address, so that a link shows the same list.
import type { Training } from "../api/schema";
import { flattened } from "../format";
import { type Filter, FILTERS, matches } from "../training_words";

export const COLUMNS = ["name", "created", "progress", "loss", "fvu", "l0"] as const;
export type SortColumn = (typeof COLUMNS)[number];

export interface ListView {
  show: Filter;
  text: string;
  group: string;
  sort: SortColumn;
  descending: boolean;
}

export type ChangeView = (change: Partial<ListView>) => void;

export const NEWEST: ListView = { show: "all", text: "", group: "", sort: "created", descending: true };

// #/trainings?show=active&text=k%3D16&group=ID&sort=-fvu
export function view_of(query: URLSearchParams): ListView {
  const sort = query.get("sort") ?? "-created";
  return {
    show: FILTERS.find((one) => one === query.get("show")) ?? NEWEST.show,
    text: query.get("text") ?? "",
    group: query.get("group") ?? "",
    sort: COLUMNS.find((one) => one === sort.replace(/^-/, "")) ?? NEWEST.sort,
    descending: sort.startsWith("-"),
  };
}

export function view_link(view: ListView): string {
  const query = new URLSearchParams();
  if (view.show !== "all") query.set("show", view.show);
  if (view.text.trim() !== "") query.set("text", view.text);
  if (view.group !== "") query.set("group", view.group);
  if (view.sort !== NEWEST.sort || !view.descending) query.set("sort", (view.descending ? "-" : "") + view.sort);
  const words = query.toString();
  return words === "" ? "#/trainings" : `#/trainings?${words}`;
}

// "1e-3" is 0.001, as TOML has it.
function same_value(value: string, asked: string): boolean {
  if (value.toLowerCase() === asked) return true;
  return asked !== "" && Number.isFinite(Number(asked)) && Number(value) === Number(asked);
}

// k=16 is sae.k = 16, and not train.lr_warmup_steps.
function has_setting(training: Training, key: string, value: string): boolean {
  return flattened(training.config).some(
    ([name, held]) => (name === key || name.endsWith(`.${key}`)) && same_value(held, value),
  );
}

// Each word is part of the name or the id, or KEY=VALUE of the configuration.
export function matches_text(training: Training, text: string): boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((word) => {
    if (`${training.name} ${training.id}`.toLowerCase().includes(word)) return true;
    const at = word.indexOf("=");
    return at > 0 && has_setting(training, word.slice(0, at), word.slice(at + 1));
  });
}

// All that the view asks for but the state, by which they are counted.
export function narrowed(trainings: Training[], view: ListView): Training[] {
  return trainings.filter(
    (training) => (view.group === "" || training.group_id === view.group) && matches_text(training, view.text),
  );
}

const VALUES: Record<Exclude<SortColumn, "name" | "created">, (training: Training) => number | null | undefined> = {
  progress: ({ progress }) => progress,
  loss: ({ metrics }) => metrics["loss"],
  fvu: ({ metrics }) => metrics["fvu"],
  l0: ({ metrics }) => metrics["l0"],
};

const NAMES = new Intl.Collator("en", { numeric: true }); // k=8 before k=16

function ascending(column: SortColumn, a: Training, b: Training): number {
  if (column === "name") return NAMES.compare(a.name, b.name);
  if (column === "created") return a.created_at.localeCompare(b.created_at);
  return (VALUES[column](a) ?? 0) - (VALUES[column](b) ?? 0);
}

// What has no value is last in both directions. Those of one group came at the same moment: then by name.
export function sorted(trainings: Training[], { sort, descending }: Pick<ListView, "sort" | "descending">): Training[] {
  const absent = (training: Training) =>
    sort === "name" || sort === "created" ? 0 : Number(!Number.isFinite(VALUES[sort](training) ?? NaN));
  return [...trainings].sort(
    (a, b) =>
      absent(a) - absent(b) ||
      (descending ? ascending(sort, b, a) : ascending(sort, a, b)) ||
      NAMES.compare(a.name, b.name) ||
      a.id.localeCompare(b.id),
  );
}

export function listed(trainings: Training[], view: ListView): Training[] {
  return sorted(trainings.filter(({ status }) => matches(view.show, status)), view);
}
