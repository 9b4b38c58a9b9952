// Which place of the form an error of the server concerns.
import type { FieldError, ValidationIssue } from "../api/schema";

export type Errors = Readonly<Record<string, readonly string[]>>; // by place: a key, "device:UUID", a member of the request; "": no field's

const OTHER: Record<string, string> = { "/path": "activations.path", "/tensor": "activations.tensor" };
export const device_place = (uuid: string) => `device:${uuid}`;

// "/config/sae/k/1" (the second of a list) is of sae.k, "/after/0" of after. gpu_ids: as they were sent.
export function place_of(pointer: string, keys: readonly string[], gpu_ids: readonly string[]): string {
  const other = OTHER[pointer];
  if (other !== undefined) return other;
  const [first = "", ...rest] = pointer.split("/").slice(1);
  if (first === "gpu_ids") {
    const uuid = rest[0] === undefined ? undefined : gpu_ids[Number(rest[0])];
    return uuid === undefined ? "gpu_ids" : device_place(uuid);
  }
  if (first !== "config") return first;
  return keys.find((key) => key === rest.slice(0, key.split(".").length).join(".")) ?? "";
}

interface Source {
  errors: readonly FieldError[];
  detail: string;
}

export function errors_of(source: Source, keys: readonly string[], gpu_ids: readonly string[], with_missing: boolean): Errors {
  if (source.errors.length === 0) return { "": [source.detail] };
  const shown = source.errors.filter(({ code }) => with_missing || code !== "missing");
  return joined(shown.map(({ pointer, message }) => ({ [place_of(pointer, keys, gpu_ids)]: [message] })));
}

// Each message once at its place.
export function joined(parts: readonly Errors[]): Errors {
  const all: Record<string, string[]> = {};
  for (const part of parts)
    for (const [place, messages] of Object.entries(part)) all[place] = [...new Set([...(all[place] ?? []), ...messages])];
  return all;
}

export interface Issue {
  code: ValidationIssue["code"];
  message: string;
  fix: string;
  tone: "error" | "warning";
}

// What the server says of each chosen device ("": of all of them), by uuid. Who queues may want a busy one.
export function issues_of(
  found: { errors: readonly ValidationIssue[]; warnings: readonly ValidationIssue[] }, uuid_of: Readonly<Record<string, string>>, queued: boolean,
): Record<string, Issue[]> {
  const all: Record<string, Issue[]> = {};
  const add = ({ gpu, code, message, fix }: ValidationIssue, tone: Issue["tone"]) => {
    const uuid = uuid_of[gpu] ?? "";
    all[uuid] = [...(all[uuid] ?? []), { code, message, fix, tone }];
  };
  for (const issue of found.errors) if (!(queued && issue.code === "busy")) add(issue, "error");
  const errors = new Set(found.errors.map(({ gpu }) => gpu)); // which make what else could be said of a device idle
  for (const issue of found.warnings) if (!errors.has(issue.gpu)) add(issue, "warning");
  return all;
}
