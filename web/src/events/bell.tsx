// What happened lately, behind a button that counts what was not read yet.
import * as Popover from "@radix-ui/react-popover";
import { useEffect, useState } from "react";
import { is_at_least, is_unread, type Read } from "../live/events_state";
import { EventRows } from "./event_rows";
import { choose_notify, type Notify, start_notifications, use_notify } from "./notifications";
import { nothing_words, SeverityChoice } from "./severity_choice";
import { choose_severity, mark_all_read, use_events, use_live_events, use_severity } from "./store";
import "../styles/bell.css";

const MOST_COUNTED = 99;
const MOST_LISTED = 50;
const BELL =
  "M8 1.2a1 1 0 0 1 1 1v.5a4.3 4.3 0 0 1 3.3 4.2c0 2.6.5 3.4 1.5 4.6v.9H2.2v-.9c1-1.2 1.5-2 1.5-4.6A4.3 4.3 0 0 1 7 2.7v-.5a1 1 0 0 1 1-1z" +
  "M6.3 13.3h3.4a1.7 1.7 0 0 1-3.4 0z";

const NOTES: Partial<Record<Notify, string>> = {
  blocked: "This browser blocks notifications of this page; its settings can allow them.",
  unsupported: "This browser has no notifications for this page.",
};

function NotifyChoice() {
  const notify = use_notify((state) => state.notify);
  return (
    <div>
      <label className="notify">
        <input
          type="checkbox"
          checked={notify === "on"}
          disabled={notify === "unsupported" || notify === "blocked"}
          onChange={(event) => void choose_notify(event.target.checked)}
        />{" "}
        Tell me in the browser when a run ends
      </label>
      {NOTES[notify] && <p className="small">{NOTES[notify]}</p>}
    </div>
  );
}

function Newest({ problem, was_read }: { problem: string | undefined; was_read: Read }) {
  const severity = use_severity((state) => state.severity);
  const events = use_events((state) => state.events);
  const shown = events.filter((event) => is_at_least(event, severity)).slice(0, MOST_LISTED);
  return (
    <>
      <div className="bell-row">
        <h2 id="bell-title">Events</h2>
        <SeverityChoice severity={severity} choose={choose_severity} />
      </div>
      {problem && <p role="alert" className="error">{problem}</p>}
      {shown.length === 0 && !problem && <p className="small">{nothing_words(severity)}</p>}
      {shown.length > 0 && <EventRows label="Newest events" events={shown} all={events} is_new={(event) => is_unread(event, was_read)} />}
    </>
  );
}

export function Bell() {
  const loaded = use_live_events();
  useEffect(start_notifications, []);
  const [open, set_open] = useState(false);
  const [was_read, set_was_read] = useState<Read>(() => use_events.getState().read);
  const events = use_events((state) => state.events);
  const read = use_events((state) => state.read);
  const severity = use_severity((state) => state.severity);
  useEffect(() => {
    if (open) mark_all_read();
  }, [open, events]);
  useEffect(() => {
    const close = () => set_open(false);
    addEventListener("hashchange", close);
    return () => removeEventListener("hashchange", close);
  }, []);
  const turn = (now: boolean) => {
    if (now) set_was_read(read);
    set_open(now);
  };
  const unread = events.filter((event) => is_at_least(event, severity) && is_unread(event, read));
  const count = unread.length > MOST_COUNTED ? `${MOST_COUNTED}+` : String(unread.length);
  const error = unread.find((event) => event.severity === "error");
  return (
    <Popover.Root open={open} onOpenChange={turn}>
      <Popover.Trigger className="bell" aria-label={unread.length > 0 ? `Events, ${count} unread` : "Events"}>
        <svg viewBox="0 0 16 16" width="18" height="18" aria-hidden="true">
          <path d={BELL} fill="currentColor" />
        </svg>
        {unread.length > 0 && <span className={`badge number ${error ? "bad" : "busy"}`}>{count}</span>}
      </Popover.Trigger>
      <span className="hidden" role="status">
        {error?.message}
      </span>
      <Popover.Content className="bell-content" aria-labelledby="bell-title" align="end" sideOffset={8} collisionPadding={8}>
        <Newest problem={loaded.error?.message} was_read={was_read} />
        <NotifyChoice />
        <p className="bell-all">
          <a href="#/events">All events</a>
        </p>
      </Popover.Content>
    </Popover.Root>
  );
}
