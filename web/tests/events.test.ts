import { describe, expect, it } from "vitest";
import type { MachineEvent, Training } from "../src/api/schema";
import { ending_words, endings } from "../src/events/endings";
import { all_read, ends_of, is_at_least, is_unread, NO_EVENTS, with_event_messages, with_event_page } from "../src/live/events_state";

const event = (id: number | undefined, more: Partial<MachineEvent> = {}): MachineEvent => ({
  ...(id === undefined ? {} : { id }), time: `2026-11-21T10:00:${String(id ?? 59).padStart(2, "0")}Z`,
  severity: "info", code: "xid", over: false, host: "h", message: `m${id ?? "?"}`, ...more,
});
const told = (one: MachineEvent) => ({ channel: "events", event: "event:created", seq: 1, data: one });
const ids = (events: readonly MachineEvent[]) => events.map(({ id }) => id);

describe("events", () => {
  const page = with_event_page(NO_EVENTS, [event(3), event(2), event(1)], 10);

  it("come live before or after the answer that has them too", () => {
    expect(ids(with_event_messages(page, [told(event(3)), told(event(4))], 11).events)).toEqual([4, 3, 2, 1]);
    const first = with_event_messages(NO_EVENTS, [told(event(4)), told(event(5))], 11);
    expect(ids(with_event_page(first, [event(4), event(3)], 10).events)).toEqual([5, 4, 3]);
    expect(with_event_messages(page, [], 11)).toBe(page);
  });

  it("have an id once they are stored", () => {
    const same = { time: "2026-11-21T10:00:09Z", message: "the store is away" };
    const untold = with_event_messages(page, [told(event(undefined, same))], 11);
    expect(ids(untold.events)).toEqual([undefined, 3, 2, 1]);
    expect(ids(with_event_page(untold, [event(9, same), event(3)], 10).events)).toEqual([9, 3]);
    expect(ids(with_event_page(untold, [event(9, same), event(3)], 12).events)).toEqual([9, 3]);
  });

  it("are unread until they were read", () => {
    const read = all_read(page);
    expect(page.events.map((one) => is_unread(one, page.read))).toEqual([true, true, true]);
    expect(page.events.map((one) => is_unread(one, read))).toEqual([false, false, false]);
    expect(is_unread(event(4), read)).toBe(true);
    expect(is_unread(event(undefined), read)).toBe(true);
    expect(is_unread(event(undefined, { time: "2026-11-21T10:00:01Z" }), read)).toBe(false);
  });

  it("of another store are unread again", () => {
    const read = { ...page, read: { id: 900, time: "2026-01-01T00:00:00Z" } };
    expect(with_event_page(read, [event(3)], 20).read.id).toBe(0);
    expect(with_event_page({ ...read, read: { id: 3, time: "" } }, [event(3)], 20).read.id).toBe(3);
  });

  it("are sorted out by severity", () => {
    const severities = (["info", "warning", "error"] as const).map((severity) => is_at_least(event(1, { severity }), "warning"));
    expect(severities).toEqual([false, true, true]);
  });

  it("know when their condition ended", () => {
    const gpu = { device_uuid: "GPU-1", code: "hot" };
    const [again, over, hot, other] = [
      event(4, gpu), event(3, { ...gpu, over: true }), event(2, gpu), event(1, { device_uuid: "GPU-2", code: "hot" })];
    const ends = ends_of([again, over, hot, other]);
    expect([again, over, hot, other].map((one) => ends.get(one))).toEqual([undefined, undefined, over.time, undefined]);
  });
});

describe("ends of runs", () => {
  const training = (status: string, more: object = {}) => ({ id: "a", name: "sweep", status, ...more }) as Training;

  it("are told once, and not of what had ended before", () => {
    const running = { a: training("running") };
    expect(endings(running, { a: training("completed") })).toHaveLength(1);
    expect(endings({ a: training("completed") }, { a: training("completed") })).toEqual([]);
    expect(endings({}, { a: training("failed") })).toEqual([]);
    expect(endings(running, { a: training("starting") })).toEqual([]);
    expect(endings(running, running)).toEqual([]);
  });

  it("have words", () => {
    expect(ending_words(training("completed"))).toEqual({ title: "sweep completed", body: "" });
    expect(ending_words(training("failed", { error: "rank 1 is out of memory" })).body).toBe("rank 1 is out of memory");
    expect(ending_words(training("cancelled")).title).toBe("sweep was cancelled");
  });
});
