// The browser's notifications when a run ends: asked for by a click, kept in this browser, off again at will.
import { create } from "zustand";
import { use_trainings } from "../live/store";
import type { TrainingsState } from "../live/trainings_state";
import { training_link } from "../router";
import { ending_words, endings } from "./endings";

const KEY = "saemill-notify";

// blocked: the reader, or the browser's settings, said no; unsupported: there are none for this page.
export type Notify = "off" | "on" | "blocked" | "unsupported";

function found(wanted: boolean): Notify {
  if (!("Notification" in window)) return "unsupported";
  if (Notification.permission === "denied") return "blocked";
  return wanted && Notification.permission === "granted" ? "on" : "off";
}

export const use_notify = create<{ notify: Notify }>(() => ({ notify: found(localStorage.getItem(KEY) === "on") }));

export async function choose_notify(wanted: boolean): Promise<void> {
  localStorage.setItem(KEY, wanted ? "on" : "off");
  if (wanted && "Notification" in window && Notification.permission === "default") await Notification.requestPermission();
  use_notify.setState({ notify: found(wanted) });
}

function tell(id: string, title: string, body: string): void {
  try {
    // With the same tag several windows of this page show it once.
    const shown = new Notification(title, { body, tag: `saemill-${id}` });
    shown.onclick = () => {
      focus();
      location.hash = training_link(id);
      shown.close();
    };
  } catch {
    use_notify.setState({ notify: "unsupported" }); // browsers of phones have the class, but no constructor
  }
}

function tell_endings(after: TrainingsState, before: TrainingsState): void {
  if (use_notify.getState().notify !== "on") return;
  for (const training of endings(before.by_id, after.by_id)) {
    const { title, body } = ending_words(training);
    tell(training.id, title, body);
  }
}

export function start_notifications(): () => void {
  return use_trainings.subscribe(tell_endings);
}
