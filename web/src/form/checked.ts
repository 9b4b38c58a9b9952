// All that the server says of the form as it is now.
import type { Device } from "../api/schema";
import { use_devices } from "../live/store";
import { type Told, use_estimate, use_inspection, use_validation } from "./asking";
import { short_name, situation } from "./devices";
import { type Errors, errors_of, type Issue, issues_of, joined } from "./errors";
import { type Field, representative, type Tree, with_any_end } from "./fields";
import type { Form } from "./state";

const NO_DEVICES: readonly Device[] = [];

function refused_of(told: Told<unknown> | null, keys: string[], gpu_ids: readonly string[], with_missing: boolean): Errors {
  return told?.refusal ? errors_of({ errors: told.refusal.errors, detail: told.refusal.message }, keys, gpu_ids, with_missing) : {};
}

// attempted: the form was sent once, and what is missing is told as well.
export function use_checked(form: Form, fields: readonly Field[], config: Tree, attempted: boolean) {
  const gpus = use_devices((state) => state.gpus) ?? NO_DEVICES;
  const one = attempted ? representative(config) : with_any_end(representative(config));
  const keys = fields.map(({ key }) => key);
  const these = form.devices === "these" && form.gpu_ids.length > 0;
  const count = form.devices === "choose for me" ? Math.max(1, Math.floor(Number(form.device_count))) || 1 : 1;
  const inspection = use_inspection(form.values["activations.path"] ?? "", form.values["activations.tensor"] ?? "");
  const estimate = use_estimate(one, these ? { gpu_ids: [...form.gpu_ids] } : { device_count: count });
  const required = estimate?.answer?.devices[0]?.memory_required;
  const chosen = gpus.filter(({ uuid }) => form.devices === "these" && form.gpu_ids.includes(uuid));
  const names = chosen.map((device) => short_name(gpus, device));
  const validation = use_validation(names, estimate?.answer ? one : null, situation(chosen, required));
  const uuid_of = Object.fromEntries(gpus.map((device) => [short_name(gpus, device), device.uuid]));
  const issues: Record<string, Issue[]> = validation?.answer ? issues_of(validation.answer, uuid_of, form.start === "queue") : {};
  const errors = joined([refused_of(inspection, keys, [], attempted), refused_of(estimate, keys, form.gpu_ids, attempted)]);
  return { inspection, estimate: estimate?.answer ?? null, required, chosen, issues, errors };
}
