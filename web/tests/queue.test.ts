import { describe, expect, it } from "vitest";
import type { Training } from "../src/api/schema";
import { came_together, type Change, changes_for, landing, moved, type Placed, queue_of } from "../src/queue/order";

const training = (id: string, more: Partial<Training> = {}) =>
  ({ id, name: id, status: "queued", held: false, priority: 50, created_at: `2026-01-01T00:00:0${id.charCodeAt(0) - 97}Z`,
    ...more }) as unknown as Training;
const line_of = (...all: [string, number][]) => all.map(([id, priority]) => training(id, { priority }));
const ids = (all: { id: string }[]) => all.map(({ id }) => id).join("");

// What the scheduler makes of it.
function order_after(line: Placed[], changes: Change[]): string {
  const next = new Map(changes.map(({ id, to }) => [id, to]));
  const priority = (one: Placed) => next.get(one.id) ?? one.priority;
  return ids([...line].sort((a, b) => priority(b) - priority(a) || a.arrival - b.arrival));
}

describe("the queue", () => {
  it("is in the order of the scheduler", () => {
    const all = [...line_of(["b", 50], ["c", 90], ["a", 50], ["d", 10]), training("e", { held: true }), training("f", { status: "paused" }),
      training("g", { status: "running" })];
    const { line, held, paused } = queue_of(all, []);
    expect([ids(line), ids(held), ids(paused)]).toEqual(["cabd", "e", "f"]);
  });

  it("knows those that came together by the server's list", () => {
    const group = ["x", "y", "z"].map((id) => training(id, { created_at: "2026-01-01T00:00:00Z" }));
    expect([came_together(group), came_together(line_of(["a", 1], ["b", 1]))]).toEqual([true, false]);
    expect(ids(queue_of(group, ["z", "x", "y"]).line)).toBe("zxy");
  });
});

describe("a move", () => {
  const change = (line: Training[], id: string, place: number) => changes_for(moved(line, [], id, place));

  it("changes the one that is moved where that will do", () => {
    const all = line_of(["a", 50], ["b", 50], ["c", 50]);
    expect(change(all, "c", 0)).toEqual([{ id: "c", from: 50, to: 51 }]);
    expect(change(all, "a", 2)).toEqual([{ id: "a", from: 50, to: 49 }]);
    expect(change(all, "b", 1)).toEqual([]);
    expect(change(line_of(["a", 90], ["b", 50], ["c", 10]), "c", 1)).toEqual([{ id: "c", from: 10, to: 51 }]);
    expect(change(line_of(["a", 50], ["b", 40]), "b", 0)).toEqual([{ id: "b", from: 40, to: 51 }]);
    expect(change(line_of(["b", 50], ["a", 40]), "a", 0)).toEqual([{ id: "a", from: 40, to: 50 }]); // a came earlier
  });

  it("changes as few others as it must", () => {
    const five = line_of(["a", 50], ["b", 50], ["c", 50], ["d", 50], ["e", 50]);
    expect(change(five, "e", 1)).toEqual([{ id: "a", from: 50, to: 51 }, { id: "e", from: 50, to: 51 }]);
    expect(change(line_of(["a", 100], ["b", 100], ["c", 100]), "c", 0)).toEqual([{ id: "a", from: 100, to: 99 }, { id: "b", from: 100, to: 99 }]);
    expect(change(line_of(["a", 100], ["b", 50]), "b", 0)).toEqual([{ id: "a", from: 100, to: 49 }]);
  });

  it("says when there are too few priorities", () => {
    const reversed = Array.from({ length: 102 }, (_, i) => ({ id: String(i), priority: 50, arrival: -i, is_moved: false }));
    expect(changes_for(reversed)).toBeNull();
    expect(changes_for(reversed.slice(1))).toHaveLength(100);
  });

  it("always makes the asked order, with the fewest changes", () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    for (let round = 0; round < 300; round += 1) {
      const count = 2 + random(4);
      const ranks = Array.from({ length: count }, (_, i) => i).sort(() => random(3) - 1);
      const line = ranks.map((arrival, i) => ({ id: "abcdef".charAt(i), priority: [0, 1, 50, 99, 100][random(5)] ?? 0, arrival, is_moved: i === 0 }));
      const changes = changes_for(line);
      expect(changes && order_after(line, changes)).toBe(ids(line));
      expect(changes?.length).toBe(count - longest_kept(line));
    }
  });

  it("lands before the first row whose middle is below", () => {
    expect([landing([10, 30, 50], 5), landing([10, 30, 50], 31), landing([10, 30, 50], 90), landing([], 1)]).toEqual([0, 2, 3, 0]);
  });
});

// By trying all: of how many the priorities may stay. Between two that stay, those in between need room.
function longest_kept(line: Placed[]): number {
  let best = 0;
  for (let kept = 0; kept < 2 ** line.length; kept += 1) {
    const size = line.filter((_, i) => kept & (2 ** i)).length;
    if (size > best && fits(line, kept)) best = size;
  }
  return best;
}

// Going back from the last, each takes the least priority that it may have.
function fits(line: Placed[], kept: number): boolean {
  let behind: { priority: number; arrival: number } = { priority: 0, arrival: Infinity };
  for (let i = line.length - 1; i >= 0; i -= 1) {
    const one = line[i] as Placed;
    const least = one.arrival < behind.arrival ? behind.priority : behind.priority + 1;
    const priority = kept & (2 ** i) ? one.priority : least;
    if (priority < least || priority > 100) return false;
    behind = { priority, arrival: one.arrival };
  }
  return true;
}
