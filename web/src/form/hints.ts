// What the data says beside the fields that depend on it.
import type { Estimate, Inspection } from "../api/schema";
import { bytes, count, metric } from "../format";
import type { Told } from "./asking";
import type { Values } from "./fields";

const DEFAULT_EXPANSION = 16;

function path_hint(told: Told<Inspection> | null, values: Values): string {
  const path = values["activations.path"];
  if (path === undefined) return "";
  if (told === null || (JSON.parse(told.asked) as { path: string }).path !== path) return "Looking …";
  if (told.answer === null) return "";
  const { rows, d_in, dtype, files, bytes: size } = told.answer;
  return `${count(rows)} activations of d_in ${count(d_in)}, ${dtype}, in ${count(files)} ${files === 1 ? "file" : "files"} of ${bytes(size)}.`;
}

function d_sae_hint(text: string | undefined, d_in: number): string {
  if (text === undefined || Number(text) === 0) return `Here: ${DEFAULT_EXPANSION} × ${count(d_in)} = ${count(DEFAULT_EXPANSION * d_in)} latents.`;
  const factors = text.split(",").map((one) => Number(one.replaceAll("_", "")) / d_in);
  return factors.every((factor) => Number.isFinite(factor) && factor > 0) ? `Expansion: ${factors.map(metric).join(", ")} × d_in.` : "";
}

// Steps of a pass over the data.
export function epoch_of(rows: number | undefined, batch: number | undefined): number | undefined {
  return rows === undefined || batch === undefined ? undefined : Math.ceil(rows / batch);
}

export function hints_of(values: Values, inspection: Told<Inspection> | null, estimate: Estimate | null): Record<string, string> {
  const found = inspection?.answer;
  const epoch = epoch_of(found?.rows, estimate?.batch.global);
  return {
    "activations.path": path_hint(inspection, values),
    ...(found ? { "sae.d_sae": d_sae_hint(values["sae.d_sae"], found.d_in) } : {}),
    ...(epoch === undefined ? {} : { "train.epochs": `One is ${count(epoch)} ${epoch === 1 ? "step" : "steps"}.` }),
  };
}
