// A configuration as the file that `saemill submit` takes.
import type { Tree } from "./fields";

// TOML's basic strings know JSON's escapes, and no bare DEL.
function value_text(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(value_text).join(", ")}]`;
  return JSON.stringify(value).replaceAll("\x7f", "\\u007f");
}

const lines_of = (entries: [string, unknown][]) => entries.map(([name, value]) => `${name} = ${value_text(value)}\n`).join("");

export function to_toml(config: Tree): string {
  const is_table = ([, value]: [string, unknown]) => value !== null && typeof value === "object" && !Array.isArray(value);
  const entries = Object.entries(config);
  const tables = entries.filter(is_table).map(([name, table]) => `[${name}]\n${lines_of(Object.entries(table as Tree))}`);
  const top = lines_of(entries.filter((entry) => !is_table(entry)));
  return [top, ...tables].filter((part) => part !== "").join("\n");
}
