// What the form holds, kept for as long as the browser's tab.
import { create } from "zustand";
import type { NewTraining, Training } from "../api/schema";
import { type Field, type Tree, type Values, values_of } from "./fields";

export const MODES = ["choose for me", "these"] as const;
export const WHEN = ["now", "queue"] as const;

export interface Form {
  from: string | null; // the training that it was filled from
  values: Values;
  devices: (typeof MODES)[number];
  device_count: string;
  gpu_ids: readonly string[]; // uuids
  busy_too: boolean;
  start: (typeof WHEN)[number];
  hold: boolean;
  priority: string;
  hours: string;
  minutes: string;
  max_restarts: string;
  after: readonly string[]; // ids
}

export const EMPTY: Form = {
  from: null, values: {}, devices: "choose for me", device_count: "1", gpu_ids: [], busy_too: false, start: "now", hold: false, priority: "",
  hours: "", minutes: "", max_restarts: "", after: [],
};
const KEY = "saemill-new-training";

function stored(): Form {
  try {
    return { ...EMPTY, ...(JSON.parse(sessionStorage.getItem(KEY) ?? "{}") as Partial<Form>) };
  } catch {
    return EMPTY;
  }
}

export const use_form = create<Form>(stored);
use_form.subscribe((form) => sessionStorage.setItem(KEY, JSON.stringify(form)));

export function change_form(change: Partial<Form>): void {
  use_form.setState(change);
}

export function filled_from(training: Training, fields: readonly Field[]): Form {
  const these = training.asked_gpu_ids !== undefined;
  // The data tells its own width, and other data another one.
  const { "activations.d_in": _, ...values } = values_of(fields, training.config);
  return {
    ...EMPTY,
    from: training.id,
    values,
    devices: these ? "these" : "choose for me",
    gpu_ids: training.asked_gpu_ids ?? [],
    device_count: String(training.device_count),
  };
}

const number = (text: string) => (text.trim() === "" ? undefined : Number(text));

function seconds_of({ hours, minutes }: Form): number | undefined {
  if (hours.trim() === "" && minutes.trim() === "") return undefined;
  return Math.round(Number(hours) * 3600 + Number(minutes) * 60);
}

function devices_asked(form: Form): Pick<NewTraining, "gpu_ids" | "device_count"> {
  return form.devices === "these" ? { gpu_ids: [...form.gpu_ids] } : { device_count: number(form.device_count) ?? 1 };
}

export function request_of(form: Form, config: Tree): NewTraining {
  const request: NewTraining = { config, ...devices_asked(form), start: form.start };
  const time_limit_s = seconds_of(form), max_restarts = number(form.max_restarts), priority = number(form.priority);
  if (time_limit_s !== undefined) request.time_limit_s = time_limit_s;
  if (max_restarts !== undefined) request.max_restarts = max_restarts;
  if (form.start === "now") return request;
  if (priority !== undefined) request.priority = priority;
  if (form.after.length > 0) request.after = [...form.after];
  if (form.hold) request.hold = true;
  return request;
}
