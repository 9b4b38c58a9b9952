// What several configurations differ in.
import { flattened } from "./format";

export interface ConfigDifference {
  key: string;
  values: (string | undefined)[]; // of each configuration, in their order; undefined: it lacks the key
}

// The keys in the order in which the configurations name them.
export function config_differences(configs: Record<string, unknown>[]): ConfigDifference[] {
  const maps = configs.map((config) => new Map(flattened(config)));
  const keys = new Set(maps.flatMap((map) => [...map.keys()]));
  return [...keys]
    .map((key) => ({ key, values: maps.map((map) => map.get(key)) }))
    .filter(({ values }) => values.some((value) => value !== values[0]));
}
