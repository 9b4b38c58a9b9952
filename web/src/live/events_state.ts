// The newest events of the machine: what REST answered, what came live since, and which of them were read.
import type { MachineEvent, Severity } from "../api/schema";
import type { Message } from "./connection";

const KEPT = 200;
export const SEVERITIES: readonly Severity[] = ["info", "warning", "error"]; // ascending

export interface HeardEvent extends MachineEvent {
  heard_at?: number; // ms; live
}

// The newest that was read. What is not stored yet has no id; it is compared by its time.
export interface Read {
  id: number;
  time: string;
}

export interface EventsState {
  events: readonly HeardEvent[]; // newest first
  read: Read;
}

export const NOTHING_READ: Read = { id: 0, time: "" };
export const NO_EVENTS: EventsState = { events: [], read: NOTHING_READ };

export function is_at_least(event: MachineEvent, severity: Severity): boolean {
  return SEVERITIES.indexOf(event.severity) >= SEVERITIES.indexOf(severity);
}

export function key_of({ time, code, device_uuid, training_id, message }: MachineEvent): string {
  return [time, code, device_uuid, training_id, message].join("\n");
}

function newest_first(a: MachineEvent, b: MachineEvent): number {
  return (b.id ?? Infinity) === (a.id ?? Infinity) ? b.time.localeCompare(a.time) : (b.id ?? Infinity) - (a.id ?? Infinity);
}

// Each once; one that was told before it was stored has its id from the store.
export function merged<Event extends MachineEvent>(...lists: (readonly Event[])[]): Event[] {
  const by_key = new Map<string, Event>();
  for (const event of lists.flat()) if (by_key.get(key_of(event))?.id === undefined) by_key.set(key_of(event), event);
  return [...by_key.values()].sort(newest_first);
}

const newest_id = (events: readonly MachineEvent[]) => events.reduce((id, event) => Math.max(id, event.id ?? 0), 0);

// What REST answered to a question asked at that time (ms): only what came live since is newer.
export function with_event_page(state: EventsState, page: readonly MachineEvent[], asked_at: number): EventsState {
  const since = state.events.filter(({ heard_at }) => (heard_at ?? 0) > asked_at);
  const events = merged<HeardEvent>(page, since).slice(0, KEPT);
  // A store whose ids are lower than what was read is another one.
  return { events, read: newest_id(events) < state.read.id ? NOTHING_READ : state.read };
}

export function with_event_messages(state: EventsState, messages: Message[], now: number): EventsState {
  const heard = messages.filter(({ event }) => event === "event:created").map(({ data }) => ({ ...(data as MachineEvent), heard_at: now }));
  return heard.length === 0 ? state : { ...state, events: merged<HeardEvent>(state.events, heard).slice(0, KEPT) };
}

export function is_unread(event: MachineEvent, read: Read): boolean {
  return event.id === undefined ? event.time > read.time : event.id > read.id;
}

export function all_read(state: EventsState): Read {
  return {
    id: Math.max(state.read.id, newest_id(state.events)),
    time: state.events.reduce((time, event) => (event.time > time ? event.time : time), state.read.time),
  };
}

// Those of a list, newest first, whose condition has ended since, with the time when.
export function ends_of(events: readonly MachineEvent[]): Map<MachineEvent, string> {
  const ended = new Map<string, string>();
  const ends = new Map<MachineEvent, string>();
  for (const event of events) {
    const condition = `${event.code} ${event.device_uuid ?? event.host}`;
    const time = ended.get(condition);
    if (event.over) ended.set(condition, event.time);
    else if (time !== undefined) ends.set(event, time);
  }
  return ends;
}
