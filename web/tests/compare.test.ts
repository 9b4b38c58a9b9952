import { describe, expect, it } from "vitest";
import { elapsed_label, ELAPSED_STEPS, x_words } from "../src/charts/ticks";
import { batch_of, joined, labels_of, onto, places, short_labels } from "../src/compare/overlay";
import { best_of, direction_of, pareto_front, point_of } from "../src/compare/results";
import { place_labels, place_of, scale_of } from "../src/compare/scatter_layout";
import { config_differences } from "../src/config_difference";

const curves = (step: number[], time: number[] = step) => ({ step, time, columns: {}, exact: true });

describe("several runs on one axis", () => {
  it("are placed by step, by activations and by time", () => {
    const one = curves([10, 20], [1000, 1006.5]);
    expect([places(one, "step", 512), places(one, "activations", 512), places(one, "elapsed", null)]).toEqual([[10, 20], [5120, 10240], [0, 6.5]]);
    expect(places(one, "activations", null)).toEqual([]);
    expect(batch_of({ config: { train: { batch_size: 512 } }, world_size: 2 })).toBe(512);
    expect(batch_of({ config: { train: { batch_size: 0, batch_size_per_device: 128 } }, world_size: 2 })).toBe(256);
    expect(batch_of({ config: {}, world_size: 0 })).toBeNull();
  });

  it("share all their places", () => {
    const own = [10, 20, 30];
    expect(joined([own])).toBe(own);
    expect(joined([own, [15, 20, 40], []])).toEqual([10, 15, 20, 30, 40]);
  });

  it("go straight between their own points, and nowhere else", () => {
    expect(onto([5, 10, 15, 20, 30, 40], [10, 20, 30], [1, 2, 4])).toEqual([null, 1, 1.5, 2, 4, null]);
    expect(onto([10, 12, 20, 25, 30], [10, 20, 30], [1, null, 4])).toEqual([1, null, null, null, 4]);
    const column = [1, 2];
    expect(onto([1, 2], [1, 2], column)).toBe(column);
    expect(onto([1, 2], [], [])).toEqual([null, null]);
  });

  it("have names that tell them apart", () => {
    expect(labels_of([{ id: "abcdefgh", name: "x" }, { id: "ijklmnop", name: "x" }, { id: "q", name: "y" }]))
      .toEqual(["x (abcdef)", "x (ijklmn)", "y"]);
  });
});

it("axes of runs have labels in their units", () => {
  expect([x_words("elapsed", 90), x_words("activations", 51200)]).toEqual(["after 1 min 30 s", "51,200 activations"]);
  expect([0, 30, 90, 5400].map(elapsed_label)).toEqual(["0 s", "30 s", "1.5 min", "1.5 h"]);
  expect([...ELAPSED_STEPS].sort((a, b) => a - b)).toEqual(ELAPSED_STEPS);
});

describe("long names", () => {
  it("lose what all begin with", () => {
    expect(short_labels(["shakespeare layer 11 residual k=8", "shakespeare layer 11 residual k=16"]))
      .toEqual(["layer 11 residual k=8", "layer 11 residual k=16"]);
    expect(short_labels(["s k=8", "s k=16"])).toEqual(["s k=8", "s k=16"]);
    expect(short_labels(["a very long name that is of one run"])).toEqual(["a very long name that is of one run"]);
    expect(short_labels(["first words that all differ", "other words that all differ"]))
      .toEqual(["first words that all differ", "other words that all differ"]);
  });
});

describe("results", () => {
  it("know the best, where there is one", () => {
    expect(best_of([3, 1, null, 1], "down")).toEqual([1, 3]);
    expect(best_of([3, 1, undefined], "up")).toEqual([0]);
    expect([best_of([3, 1], "none"), best_of([3, null], "down"), best_of([2, 2], "down"), best_of([], "up")]).toEqual([[], [], [], []]);
    expect(direction_of({ data: [{ name: "fvu", label: "", unit: "", direction: "down", help: "" }] }, "fvu")).toBe("down");
    expect(direction_of({ data: [] }, "fvu")).toBe("none");
  });

  it("have a Pareto front", () => {
    const points = [{ l0: 32, fvu: 0.1 }, { l0: 8, fvu: 0.3 }, null, { l0: 16, fvu: 0.35 }, { l0: 16, fvu: 0.2 }, { l0: 16, fvu: 0.2 }];
    expect(pareto_front(points)).toEqual([1, 4, 5, 0]);
    expect(pareto_front([null])).toEqual([]);
    expect([point_of({ l0: 1, fvu: 0.5, loss: 1 }), point_of({ l0: 1, fvu: null }), point_of({})]).toEqual([{ l0: 1, fvu: 0.5 }, null, null]);
  });
});

describe("the scatter", () => {
  it("has round ticks in a range with room", () => {
    expect(scale_of([8, 32], 5)).toEqual({ from: 5.12, to: 34.88, ticks: [10, 20, 30] });
    expect(scale_of([0.1, 0.3], 5).ticks).toEqual([0.1, 0.15, 0.2, 0.25, 0.3]);
    const same = scale_of([16], 5);
    expect(same.from).toBeLessThan(16);
    expect(same.to).toBeGreaterThan(16);
    expect(scale_of([0, 0], 5).from).toBe(0);
  });

  it("places points, and labels that hide nothing", () => {
    const area = { left: 0, top: 0, width: 200, height: 100 };
    const scale = { from: 0, to: 10, ticks: [] };
    expect(place_of({ l0: 5, fvu: 10 }, scale, scale, area)).toEqual({ x: 100, y: 0 });
    const labels = place_labels([{ x: 20, y: 50 }, { x: 190, y: 50 }, { x: 192, y: 52 }], [40, 40, 500], area);
    expect(labels.map((label) => label?.anchor ?? null)).toEqual(["start", "end", null]);
  });
});

it("configurations differ in some keys", () => {
  expect(config_differences([{ sae: { k: 8, d_sae: 512 } }, { sae: { k: 16, d_sae: 512 }, name: "b" }])).toEqual([
    { key: "sae.k", values: ["8", "16"] },
    { key: "name", values: [undefined, "b"] },
  ]);
  expect(config_differences([])).toEqual([]);
});
