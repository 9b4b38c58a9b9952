// The configuration's keys as fields of the form, and the configuration that their values make.
import type { ConfigGroup, ConfigKey, ConfigSchema } from "../api/schema";

export interface Field {
  key: string; // "train.lr"
  label: string;
  group: string;
  schema: ConfigKey;
}

// As they were typed, by full key. What is not touched is not in it: the server's default holds.
export type Values = Readonly<Record<string, string>>;
export type Tree = Record<string, unknown>;

// What nearly every training decides, in the order of deciding.
const MAIN = [
  "activations.path", "name", "sae.architecture", "sae.d_sae", "sae.k", "sae.l1_coefficient",
  "train.steps", "train.tokens", "train.epochs", "train.batch_size", "train.lr",
];
const ENDS = ["steps", "tokens", "epochs"];
const ANY_END = Number.MAX_SAFE_INTEGER;
const SYMBOLS = ["d_in", "d_sae"];

function is_group(entry: ConfigKey | ConfigGroup): entry is ConfigGroup {
  return entry.type === "object";
}

function field_of(name: string, schema: ConfigKey): Field {
  return { key: schema.title, label: SYMBOLS.includes(name) ? name : name.replaceAll("_", " "), group: schema["x-group"] ?? "general", schema };
}

export function fields_of(schema: ConfigSchema): Field[] {
  return Object.entries(schema.properties).flatMap(([name, entry]) =>
    is_group(entry) ? Object.entries(entry.properties).map(([member, key]) => field_of(member, key)) : [field_of(name, entry)],
  );
}

// What holds while nothing is typed. Where the default is 0 or empty, its description may say what that means: "Width; 0: from the data".
export function default_words({ schema: { default: value, description } }: Field): string {
  const name = value === 0 ? "0" : value === "" ? "empty" : undefined;
  const meaning = name && description.split("; ").find((part) => part.startsWith(`${name}: `));
  if (meaning) return meaning.slice(`${name}: `.length).split(". ")[0] as string;
  return value === "" ? "" : `default ${String(value)}`;
}

export function main_of(fields: readonly Field[]): Field[] {
  return MAIN.flatMap((key) => fields.filter((field) => field.key === key));
}

// Those of the values that the key names, separated by commas, or any where it names none.
export function applies(field: Field, fields: readonly Field[], values: Values): boolean {
  return Object.entries(field.schema["x-applies-when"] ?? {}).every(([other, accepted]) => {
    const value = values[other] ?? fields.find(({ key }) => key === other)?.schema.default;
    return accepted.split(",").some((one) => one.trim() === String(value));
  });
}

function number_of(text: string): number | string {
  const digits = text.trim().replaceAll("_", "");
  return digits !== "" && Number.isFinite(Number(digits)) ? Number(digits) : text.trim();
}

// What is no number stays a text, which the server refuses in its own words. Commas make a list.
export function value_of({ schema }: Field, text: string): unknown {
  if (schema.type === "boolean") return text === "true";
  if (schema.type === "string") return text;
  return text.includes(",") ? text.split(",").filter((one) => one.trim() !== "").map(number_of) : number_of(text);
}

// Without what was set back to its default, or is empty.
export function with_value(values: Values, field: Field, text: string): Values {
  const { [field.key]: _, ...others } = values;
  const as_default = field.schema.type === "boolean" || field.schema.enum ? text === String(field.schema.default) : text.trim() === "";
  return as_default ? others : { ...others, [field.key]: text };
}

export function config_of(fields: readonly Field[], values: Values): Tree {
  const tree: Tree = {};
  for (const field of fields) {
    const text = values[field.key];
    if (text === undefined || !applies(field, fields, values)) continue;
    const [group, name] = field.key.split(".") as [string, string?];
    if (name === undefined) tree[group] = value_of(field, text);
    else tree[group] = { ...(tree[group] as Tree | undefined), [name]: value_of(field, text) };
  }
  return tree;
}

// The values that make a configuration that was.
export function values_of(fields: readonly Field[], config: Tree): Values {
  const values: Record<string, string> = {};
  for (const { key, schema } of fields) {
    const found = key.split(".").reduce<unknown>((tree, name) => (tree as Tree | undefined)?.[name], config);
    if (found !== undefined && found !== schema.default) values[key] = String(found);
  }
  return values;
}

export function group_size(config: Tree): number {
  return Object.values(config).reduce<number>((size, value) => {
    if (Array.isArray(value)) return size * value.length;
    return value !== null && typeof value === "object" ? size * group_size(value as Tree) : size;
  }, 1);
}

// Of a list: what the server would refuse, or else what needs most.
function costliest(list: unknown[]): unknown {
  const odd = list.find((one) => typeof one !== "number");
  return odd ?? (list.length > 0 ? Math.max(...(list as number[])) : "");
}

// The one of a group by which all of it is estimated.
export function representative(config: Tree): Tree {
  const one = (value: unknown): unknown =>
    Array.isArray(value) ? costliest(value) : value !== null && typeof value === "object" ? representative(value as Tree) : value;
  return Object.fromEntries(Object.entries(config).map(([name, value]) => [name, one(value)]));
}

// When a training ends changes nothing of what it holds: its memory can be told before that is known.
export function with_any_end(config: Tree): Tree {
  const train = (config["train"] ?? {}) as Tree;
  return ENDS.some((name) => name in train) ? config : { ...config, train: { ...train, steps: ANY_END } };
}

// As the server resolves them; undefined: no end is given, or one that says nothing.
export function steps_of(config: Tree, batch: number, rows: number | undefined): number | undefined {
  const train = (config["train"] ?? {}) as Tree;
  const given = (name: string) => (typeof train[name] === "number" && train[name] > 0 ? train[name] : undefined);
  const [steps, tokens, epochs] = ENDS.map(given);
  if (epochs !== undefined && rows === undefined) return undefined;
  const ends = [steps, tokens && Math.ceil(tokens / batch), epochs && Math.ceil((epochs * (rows ?? 0)) / batch)];
  const known = ends.filter((end) => end !== undefined);
  return known.length === 0 ? undefined : Math.max(1, Math.min(...known));
}
