// Events of a run as marks on its charts.
import type { RunEvent } from "../api/schema";
import type { XAxis } from "../charts/group";
import type { PlotMarker, Tone } from "../charts/markers";
import { count } from "../format";
import { event_words } from "./run_events";
import { type Clock, step_at } from "./times";

const TONES: Record<string, Tone> = {
  checkpoint: "quiet", started: "quiet", finished: "good", paused: "wait", rewind: "wait", warning: "wait", failed: "bad",
};

function label_of(event: RunEvent): string {
  const step = event["step"];
  const at = typeof step === "number" ? count(step) : null;
  if (event.event === "checkpoint") return `checkpoint after ${at} steps`;
  if (event.event === "rewind") return `back to step ${at}`;
  if (event.event === "started") return `attempt ${String(event["attempt"])} started${at === null ? "" : ` at step ${at}`}`;
  const words = event_words(event);
  return `${event.event}${at === null ? "" : ` at step ${at}`}${words && `: ${words}`}`;
}

function place_of(event: RunEvent, axis: XAxis, clock: Clock): number | null {
  const time = Date.parse(event["time"] as string) / 1000;
  if (axis === "time") return Number.isNaN(time) ? null : time;
  // What did not say its step was at the one of its time.
  return typeof event["step"] === "number" ? event["step"] : step_at(clock, time);
}

// Ascending; the first start is where everything begins.
export function event_markers(events: readonly RunEvent[], axis: XAxis, clock: Clock): PlotMarker[] {
  const found: PlotMarker[] = [];
  for (const event of events) {
    const tone = TONES[event.event];
    if (tone === undefined || (event.event === "started" && Number(event["attempt"]) <= 1)) continue;
    const x = place_of(event, axis, clock);
    if (x !== null) found.push({ x, tone, label: label_of(event) });
  }
  return found.sort((a, b) => a.x - b.x);
}
