import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Listener, LiveConnection, type Message, type Phase, type Socket } from "../src/live/connection";

class FakeSocket implements Socket {
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  sent: unknown[] = [];
  closed = false;
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  hear(...messages: object[]) {
    this.onmessage?.({ data: JSON.stringify(messages.length === 1 ? messages[0] : messages) });
  }
  hello(boot = "one") {
    this.hear({ event: "hello", data: { boot } });
  }
}

let sockets: FakeSocket[];
let phases: Phase[];
let connection: LiveConnection;

function listener() {
  const heard: Message[] = [];
  let resets = 0;
  const one: Listener = { message: (message) => heard.push(message), reset: () => (resets += 1) };
  return { ...one, heard, resets: () => resets };
}

const change = (seq: number, channel = "trainings") => ({ channel, event: "training:status", seq, data: {} });

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  phases = [];
  const open = () => {
    const socket = new FakeSocket();
    sockets.push(socket);
    return socket;
  };
  connection = new LiveConnection(open, (phase) => phases.push(phase));
  connection.start();
});
afterEach(() => vi.useRealTimers());

const last = () => sockets.at(-1)!;

describe("subscriptions", () => {
  it("wait for the server's hello", () => {
    connection.subscribe("trainings", listener());
    expect(last().sent).toEqual([]);
    last().hello();
    expect(last().sent).toEqual([{ op: "subscribe", channel: "trainings" }]);
    connection.subscribe("system/gpus", listener());
    expect(last().sent[1]).toEqual({ op: "subscribe", channel: "system/gpus" });
  });

  it("are shared, and end with the last one", () => {
    last().hello();
    const [a, b] = [listener(), listener()];
    const end_a = connection.subscribe("trainings", a);
    const end_b = connection.subscribe("trainings", b);
    last().hear(change(1), change(2));
    expect([a.heard.length, b.heard.length]).toEqual([2, 2]);
    end_a();
    end_a();
    expect(last().sent).toHaveLength(1);
    last().hear(change(3));
    expect([a.heard.length, b.heard.length]).toEqual([2, 3]);
    end_b();
    expect(last().sent[1]).toEqual({ op: "unsubscribe", channel: "trainings" });
    last().hear(change(4));
    expect(b.heard).toHaveLength(3);
  });
});

describe("a lost connection", () => {
  it("comes back, later each time, up to 5 s", () => {
    last().hello();
    const waits = [500, 1000, 2000, 4000, 5000, 5000];
    for (const wait of waits) {
      const tries = sockets.length;
      last().onclose?.();
      vi.advanceTimersByTime(wait - 1);
      expect(sockets).toHaveLength(tries);
      vi.advanceTimersByTime(1);
      expect(sockets).toHaveLength(tries + 1);
    }
    expect(phases).toEqual(["live", ...waits.map(() => "lost")]);
    last().hello();
    last().onclose?.();
    vi.advanceTimersByTime(500);
    expect(sockets).toHaveLength(waits.length + 2);
  });

  it("goes on after the last event", () => {
    const one = listener();
    connection.subscribe("trainings", one);
    last().hello();
    last().hear({ channel: "trainings", event: "subscribed", seq: 7, data: { seq: 7 } });
    last().hear(change(8));
    last().onclose?.();
    vi.advanceTimersByTime(500);
    last().hello();
    expect(last().sent).toEqual([{ op: "subscribe", channel: "trainings", since: 8 }]);
    // What was missed comes after the answer; if that breaks off too, it is asked for again.
    last().hear({ channel: "trainings", event: "subscribed", seq: 10, data: { seq: 10 } });
    last().hear(change(9));
    last().onclose?.();
    vi.advanceTimersByTime(500);
    last().hello();
    expect(last().sent).toEqual([{ op: "subscribe", channel: "trainings", since: 9 }]);
    expect(one.resets()).toBe(1); // at the first hello
  });

  it("reads again what a restarted server counts anew", () => {
    const [all, lines] = [listener(), listener()];
    connection.subscribe("trainings", all);
    connection.subscribe("trainings/a/progress", lines);
    last().hello();
    last().hear(change(8), change(30, "trainings/a/progress"));
    last().onclose?.();
    vi.advanceTimersByTime(500);
    last().hello("two");
    expect(last().sent).toEqual([
      { op: "subscribe", channel: "trainings" },
      { op: "subscribe", channel: "trainings/a/progress", since: 30 },
    ]);
    expect([all.resets(), lines.resets()]).toEqual([2, 1]); // of which one each at the first hello
  });

  it("leaves nothing unread that was told before the first subscription", () => {
    const one = listener();
    connection.subscribe("trainings", one);
    last().hello();
    expect(one.resets()).toBe(1); // what was read while the socket was opened may be older
    last().onclose?.(); // before the server has answered
    vi.advanceTimersByTime(500);
    last().hello();
    expect(one.resets()).toBe(2);
    last().hear({ channel: "trainings", event: "subscribed", seq: 7, data: { seq: 7 } });
    last().onclose?.();
    vi.advanceTimersByTime(500);
    last().hello();
    expect(one.resets()).toBe(2);
  });

  it("is noticed where nothing comes any more", () => {
    last().hello();
    vi.advanceTimersByTime(29_999);
    expect(phases).toEqual(["live"]);
    vi.advanceTimersByTime(1);
    expect([phases.at(-1), last().closed]).toEqual(["lost", true]);
    last().onclose?.();
    vi.advanceTimersByTime(500);
    expect(sockets).toHaveLength(2);
  });
});

it("tells a subscriber whose since is too old", () => {
  const one = listener();
  connection.subscribe("trainings", one);
  last().hello();
  last().hear(change(90));
  last().hear({ channel: "trainings", event: "reset", seq: 4, data: {} });
  expect([one.resets(), one.heard.length]).toEqual([2, 1]);
  last().onclose?.();
  vi.advanceTimersByTime(500);
  last().hello();
  expect(last().sent).toEqual([{ op: "subscribe", channel: "trainings", since: 4 }]);
});
