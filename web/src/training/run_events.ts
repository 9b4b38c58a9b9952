// What a run told, but for its metrics: as REST answered it, then what came live.
import type { RunEvent } from "../api/schema";

export function with_events(known: readonly RunEvent[], news: readonly RunEvent[]): RunEvent[] {
  const next = [...known];
  for (const event of news)
    if (event.event !== "metrics" && event.seq > (next.at(-1)?.seq ?? 0)) next.push(event);
  return next;
}

export function event_words(event: RunEvent): string {
  const said = event["message"] ?? event["error"] ?? event["reason"];
  return typeof said === "string" ? said : "";
}

export interface RunDevice {
  uuid: string;
  name: string; // as it was called then: gpu:3
}

// All that the run was ever on, in the order in which it came to them.
export function devices_of(events: readonly RunEvent[], now: readonly string[]): RunDevice[] {
  const names = new Map<string, string>();
  for (const event of events) {
    if (event.event !== "started" || !Array.isArray(event["device_uuids"])) continue;
    const called = Array.isArray(event["devices"]) ? (event["devices"] as string[]) : [];
    (event["device_uuids"] as string[]).forEach((uuid, i) => names.set(uuid, called[i] ?? uuid));
  }
  for (const uuid of now) if (!names.has(uuid)) names.set(uuid, uuid);
  return [...names].map(([uuid, name]) => ({ uuid, name }));
}
