import { describe, expect, it } from "vitest";
import type { Training } from "../src/api/schema";
import { expected_clock, expected_in, has_ended, offered, reason_words } from "../src/training_words";
import { outcome_words, takers } from "../src/trainings/bulk";
import { listed, matches_text, narrowed, NEWEST, sorted, view_link, view_of } from "../src/trainings/filter";
import { BUCKETS, line_of, points_of, with_point } from "../src/trainings/loss";

const training = (id: string, more: Partial<Training> = {}) =>
  ({ id, name: `run-${id}`, status: "running", progress: 0, created_at: "2026-01-01T00:00:00.000Z", actions: [], held: false, metrics: {},
    config: { sae: { k: 16, architecture: "topk" }, train: { lr: 0.001, lr_warmup_steps: 16 } }, ...more }) as unknown as Training;
const ids = (trainings: Training[]) => trainings.map(({ id }) => id).join("");

describe("the view of the list", () => {
  it("is kept in the address", () => {
    for (const hash of ["#/trainings", "#/trainings?show=active&text=k%3D16+wide&group=g&sort=fvu", "#/trainings?sort=-name"])
      expect(view_link(view_of(new URLSearchParams(hash.split("?")[1])))).toBe(hash);
    expect(view_of(new URLSearchParams("show=nonsense&sort=-nothing"))).toEqual(NEWEST);
  });

  it("finds names, ids and settings", () => {
    const one = training("abc");
    expect(["run", "ABC", "k=16", "sae.k=16", "K=16 run-abc", "lr=1e-3", "architecture=TopK"].filter((text) => !matches_text(one, text))).toEqual([]);
    expect(["other", "k=160", "k=", "r=0.001", "=16", "k=16 other"].filter((text) => matches_text(one, text))).toEqual([]);
    expect(ids(narrowed([one, training("b", { group_id: "g" })], { ...NEWEST, group: "g" }))).toBe("b");
  });

  it("sorts, with what has no value last", () => {
    const all = [training("a", { metrics: { fvu: 0.5 } }), training("b"), training("c", { metrics: { fvu: 0.1 } }),
      training("d", { metrics: { fvu: null } })];
    expect(ids(sorted(all, { sort: "fvu", descending: false }))).toBe("cabd");
    expect(ids(sorted(all, { sort: "fvu", descending: true }))).toBe("acbd");
    const named = [training("x", { name: "s k=16" }), training("y", { name: "s k=8" }), training("z", { created_at: "2026-01-02T00:00:00.000Z" })];
    expect(ids(sorted(named, { sort: "name", descending: false }))).toBe("zyx");
    expect(ids(sorted(named, NEWEST))).toBe("zyx"); // a group came at one moment
    expect(ids(listed([training("a"), training("b", { status: "failed" })], { ...NEWEST, show: "failed" }))).toBe("b");
  });
});

describe("actions on several", () => {
  it("are offered for those that take them", () => {
    const all = [
      training("a", { actions: ["pause", "cancel"] }),
      training("b", { status: "queued", actions: ["cancel", "hold", "release"] }),
      training("c", { status: "queued", actions: ["cancel", "hold", "release"], held: true }),
      training("d", { status: "cancelled", actions: ["retry"] }),
    ];
    const who = (action: Parameters<typeof takers>[1]) => ids(takers(all, action));
    expect([who("pause"), who("cancel"), who("hold"), who("release"), who("delete"), who("resume")]).toEqual(["a", "abc", "b", "c", "d", ""]);
    expect(all.filter(has_ended).map(({ id }) => id)).toEqual(["d"]);
    expect(offered(all[2]!)).toEqual(["cancel", "release"]);
  });

  it("say what came of them", () => {
    const fine = { id: "a", name: "a", refused: null };
    expect(outcome_words("delete", [fine])).toBe("Deleted 1 training.");
    expect(outcome_words("pause", [fine, { ...fine, refused: "no" }])).toBe("The server accepted pause for 1 of 2 trainings.");
    expect(outcome_words("retry", [fine], 1)).toBe("The server accepted retry for 1 training; for the other one it is not possible now.");
    expect(outcome_words("retry", [fine, fine], 3)).toBe("The server accepted retry for 2 trainings; for the other 3 it is not possible now.");
  });
});

describe("the loss of a row", () => {
  it("has gaps where nothing was measured", () => {
    const series = { step: [1, 10, 20], time: [], exact: true, series: { loss: { min: [], mean: [4, null, 1], max: [] } } };
    expect(points_of(series)).toEqual([{ step: 1, loss: 4 }, { step: 20, loss: 1 }]);
    expect(points_of({ ...series, series: {} })).toEqual([]);
  });

  it("goes on, again after a rewind, and stays short", () => {
    const points = [{ step: 1, loss: 4 }, { step: 20, loss: 1 }];
    expect(with_point(points, { step: 20, loss: 1 })).toBe(points);
    expect(with_point(points, { step: 30, loss: 0.5 })).toHaveLength(3);
    expect(with_point(points, { step: 10, loss: 2 })).toEqual([{ step: 1, loss: 4 }, { step: 10, loss: 2 }]);
    let long = points;
    for (let step = 21; step < 1000; step += 1) long = with_point(long, { step, loss: 1 });
    expect(long.length).toBeLessThanOrEqual(2 * BUCKETS);
    expect([long[0]?.step, long.at(-1)?.step]).toEqual([1, 999]);
  });

  it("is drawn by its logarithm", () => {
    expect(line_of([{ step: 0, loss: 100 }, { step: 5, loss: 10 }, { step: 10, loss: 1 }])).toBe("0.0,0.0 50.0,50.0 100.0,100.0");
    expect(line_of([{ step: 0, loss: 0 }, { step: 10, loss: 1 }])).toBe("0.0,100.0 100.0,0.0");
    expect(line_of([{ step: 0, loss: 1 }])).toBe("");
  });
});

it("a reason calls others by their names", () => {
  const waits = training("a", { reason: { code: "behind",
    message: "behind abcdefghijkl2345 in the queue; expected at about 14:05 UTC; cpu:0 is free then" } });
  const others = { abcdefghijkl2345: training("abcdefghijkl2345", { name: "first" }) };
  expect(reason_words(waits, others)).toBe("behind first in the queue; cpu:0 is free then");
  expect(reason_words(waits)).toContain("abcdefghijkl2345");
  expect([reason_words(training("a")), reason_words(training("a", { error: "no" }))]).toEqual([null, "no"]);
});

it("an expected start is a time and how far off it is", () => {
  const now = new Date(2026, 0, 2, 14, 0, 0).getTime();
  const at = (ms: number) => new Date(now + ms).toISOString();
  const words = (time: string | undefined) => [expected_clock(time, now), expected_in(time, now)];
  expect(words(undefined)).toEqual(["–", ""]);
  expect(words(at(300_000))).toEqual(["14:05", "in 5 min 0 s"]);
  expect(words(at(-5000))).toEqual(["13:59", "any moment"]);
  expect(words(at(24 * 3600_000))).toEqual(["2026-01-03 14:00", "in 1 d 0 h"]);
});
