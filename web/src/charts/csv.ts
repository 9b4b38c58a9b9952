// The data of a figure as a file for other programs (RFC 4180).
import type { PlotAxis } from "./group";
import type { Column } from "./smooth";

export interface CsvCurve {
  label: string;
  mean: Column;
  min?: Column;
  max?: Column;
}

const quoted = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

export function series_csv(axis: PlotAxis, x: readonly number[], curves: readonly CsvCurve[], unit = ""): string {
  const columns: [string, Column][] = curves.flatMap(({ label, mean, min, max }): [string, Column][] => {
    const name = unit === "" ? label : `${label} (${unit})`;
    const bounds = min === undefined || max === undefined || (min === mean && max === mean) ? [] : [[`${name} min`, min], [`${name} max`, max]];
    return [[name, mean], ...(bounds as [string, Column][])];
  });
  const lines = [[axis, ...columns.map(([name]) => quoted(name))].join(",")];
  x.forEach((at, i) => {
    const place = axis === "time" ? new Date(at * 1000).toISOString() : String(at);
    lines.push([place, ...columns.map(([, values]) => values[i] ?? "")].join(","));
  });
  return `${lines.join("\r\n")}\r\n`;
}
