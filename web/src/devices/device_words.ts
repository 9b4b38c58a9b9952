// What the pages say about a device in more than one place.
import type { Device } from "../api/schema";
import { ABSENT, rounded } from "../format";

const KINDS = { gpu: "GPU", mig: "MIG", cpu: "CPU slot" } as const;

export function device_name({ kind, index }: Device): string {
  return `${KINDS[kind]} ${index}`;
}

export function throttle_words({ throttle }: Device): string {
  if (throttle === undefined) return ABSENT;
  return throttle.length > 0 ? throttle.join(", ").replaceAll("_", " ") : "none";
}

export function power_words({ power_draw, power_limit }: Device): string {
  return power_limit ? `${rounded(power_draw, "").trimEnd()} of ${rounded(power_limit, "W")}` : rounded(power_draw, "W");
}
