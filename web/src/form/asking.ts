// What the server says of a form while it is typed. A newer question takes the place of an older one.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { get, path_of, post, Refusal } from "../api/client";
import type { ConfigSchema, DeviceIds, Estimate, Inspection, Recommendation, Training, Validation } from "../api/schema";
import { fields_of, type Tree } from "./fields";

const PAUSE_MS = 350; // in typing
const MEGABYTE = 1e6;

export interface Told<Answer> {
  answer: Answer | null;
  refusal: Refusal | null;
  asked: string; // what exactly
}

function use_settled(text: string | null): string | null {
  const [settled, settle] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => settle(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

// A refusal is what there is to show, as an answer is.
async function told<Answer>(asked: string, question: Promise<Answer>): Promise<Told<Answer>> {
  try {
    return { answer: await question, refusal: null, asked };
  } catch (error) {
    if (error instanceof Refusal) return { answer: null, refusal: error, asked };
    throw error;
  }
}

// again: asked once more when it changes. null: there is nothing to ask.
function use_told<Answer>(path: string, body: object | null, again = ""): Told<Answer> | null {
  const asked = use_settled(body === null ? null : JSON.stringify(body));
  const query = useQuery({
    queryKey: ["form", path, asked, again],
    enabled: asked !== null,
    queryFn: ({ signal }) => told(asked ?? "", post<Answer>(path, JSON.parse(asked ?? "{}") as object, signal)),
    placeholderData: (before) => before,
  });
  return asked === null || body === null ? null : (query.data ?? null);
}

export function use_inspection(path: string, tensor: string): Told<Inspection> | null {
  return use_told("activations/inspect", path.trim() === "" ? null : { path, ...(tensor === "" ? {} : { tensor }) });
}

export function use_estimate(config: Tree | null, devices: { gpu_ids?: DeviceIds | null; device_count?: number }): Told<Estimate> | null {
  return use_told("trainings/estimate", config === null ? null : { config, ...devices });
}

// situation: of the devices; what it says depends on it.
export function use_validation(names: readonly string[], config: Tree | null, situation: string): Told<Validation> | null {
  return use_told("system/gpus/validate", names.length === 0 ? null : { gpu_ids: names, ...(config === null ? {} : { config }) }, situation);
}

export function use_recommendation(count: number | null, memory_required: number | undefined, situation: string): Told<Recommendation> | null {
  const memory = Math.ceil((memory_required ?? 0) / MEGABYTE);
  const query = useQuery({
    queryKey: ["form", "recommend", count, memory, situation],
    enabled: count !== null,
    queryFn: ({ signal }) => told(situation, get<Recommendation>(`system/gpus/recommend?count=${count}&memory_mb=${memory}`, signal)),
    placeholderData: (before) => before,
  });
  return count === null ? null : (query.data ?? null);
}

export function use_fields() {
  return useQuery({ queryKey: ["config-schema"], queryFn: () => get<ConfigSchema>("config-schema"), select: fields_of, staleTime: Infinity });
}

// The training whose configuration fills the form.
export function use_source(id: string | null) {
  return useQuery({
    queryKey: ["form", "from", id],
    enabled: id !== null,
    queryFn: () => get<Training>(path_of("trainings", id ?? "")),
  });
}
