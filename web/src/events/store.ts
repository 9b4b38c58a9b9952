// The events as the bell and the pages show them: read once and again after a reset, then live.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { create } from "zustand";
import { get } from "../api/client";
import type { EventList, Severity } from "../api/schema";
import { kept } from "../kept";
import { batched } from "../live/batch";
import type { Message } from "../live/connection";
import {
  all_read, type EventsState, NO_EVENTS, NOTHING_READ, type Read, SEVERITIES, with_event_messages, with_event_page,
} from "../live/events_state";
import { read_again } from "../live/read_again";
import { live } from "../live/store";

const READ_KEY = "saemill-events-read";
const SEVERITY_KEY = "saemill-events-severity";
const NEWEST = 100;

function stored_read(): Read {
  try {
    const { id, time } = JSON.parse(localStorage.getItem(READ_KEY) ?? "") as Partial<Read>;
    return typeof id === "number" && typeof time === "string" ? { id, time } : NOTHING_READ;
  } catch {
    return NOTHING_READ;
  }
}

export const use_events = create<EventsState>(() => ({ ...NO_EVENTS, read: stored_read() }));

// The least that the bell counts and lists.
export const use_severity = create<{ severity: Severity }>(() => ({
  severity: kept(SEVERITY_KEY, SEVERITIES, "info"),
}));

export function choose_severity(severity: Severity): void {
  localStorage.setItem(SEVERITY_KEY, severity);
  use_severity.setState({ severity });
}

export function mark_all_read(): void {
  const state = use_events.getState();
  const read = all_read(state);
  if (read.id === state.read.id && read.time === state.read.time) return;
  localStorage.setItem(READ_KEY, JSON.stringify(read));
  use_events.setState({ read });
}

// Read in another window of this browser.
function on_storage({ key }: StorageEvent): void {
  if (key === READ_KEY) use_events.setState({ read: stored_read() });
}

async function load_newest(): Promise<number> {
  const asked_at = Date.now();
  const { data, pagination } = await get<EventList>(`events?limit=${NEWEST}`);
  use_events.setState((state) => with_event_page(state, data, asked_at));
  return pagination.total;
}

const into_events = batched<Message>((messages) => use_events.setState((state) => with_event_messages(state, messages, Date.now())));

// For the one place that is on every page.
export function use_live_events() {
  const queries = useQueryClient();
  useEffect(() => {
    const reset = () => void read_again(queries, { queryKey: ["events"] });
    return live.subscribe("events", { message: into_events, reset });
  }, [queries]);
  useEffect(() => {
    addEventListener("storage", on_storage);
    return () => removeEventListener("storage", on_storage);
  }, []);
  return useQuery({ queryKey: ["events", "newest"], queryFn: load_newest });
}
