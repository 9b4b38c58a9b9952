// What the pages say about a device in more than one place.
import type { Device } from "../api/schema";
import { ABSENT, rounded } from "../format";

const KINDS = { gpu: "GPU", mig: "MIG", cpu: "CPU slot" } as const;

export function device_name({ kind, index }: Pick<Device, "kind" | "index">): string {
  return `${KINDS[kind]} ${index}`;
}

// "GPU 0", "1", "2": the kind where it is another than that of the one before.
export function short_names(names: readonly string[]): string[] {
  const kind = (name: string) => name.slice(0, name.lastIndexOf(" ") + 1);
  return names.map((name, i) => (i > 0 && kind(name) === kind(names[i - 1] as string) ? name.slice(kind(name).length) : name));
}

export function throttle_words({ throttle }: Device): string {
  if (throttle === undefined) return ABSENT;
  return throttle.length > 0 ? throttle.join(", ").replaceAll("_", " ") : "none";
}

export function power_words({ power_draw, power_limit }: Device): string {
  return power_limit ? `${rounded(power_draw, "").trimEnd()} of ${rounded(power_limit, "W")}` : rounded(power_draw, "W");
}
