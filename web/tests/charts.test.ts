import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { series_csv } from "../src/charts/csv";
import { drawn_columns, layers, positive } from "../src/charts/data";
import { chart_group, follow, full_range, type Member, pan, period_ms, show_range, shown_range, zoom } from "../src/charts/group";
import { curve_look } from "../src/charts/looks";
import { cluster_words, clusters, marker_list, nearest, type PlotMarker } from "../src/charts/markers";
import { panned, stretched, union, within, y_range, zoomed } from "../src/charts/range";
import { smoothed, usual_distance } from "../src/charts/smooth";
import { summary, summary_words } from "../src/charts/summary";
import { log_ticks, step_label, time_labels, x_words, y_label } from "../src/charts/ticks";

const member = (extent: Member["extent"]): Member => ({ extent, changed: () => undefined, visible: () => true });

describe("ranges", () => {
  it("are joined, zoomed and moved, by factors on a logarithmic axis", () => {
    expect(union([[1, 2], null, [0, 1]])).toEqual([0, 2]);
    expect(union([null])).toBeNull();
    expect(zoomed([0, 100], 0.5)).toEqual([25, 75]);
    expect(zoomed([0, 100], 0.5, 0)).toEqual([0, 50]);
    expect(zoomed([1, 100], 0.5, 0.5, true)[1]).toBeCloseTo(10 ** 1.5);
    expect(panned([0, 100], 0.25)).toEqual([25, 125]);
    expect(panned([1, 100], 0.5, true).map(Math.round)).toEqual([10, 1000]);
  });

  it("keep what is below the fingers there", () => {
    expect(stretched([0, 100], [0.5], [0.25])).toEqual([25, 125]);
    expect(stretched([0, 100], [0.25, 0.75], [0, 1])).toEqual([25, 75]);
    expect(stretched([0, 100], [0.2, 0.4], [0.6, 0.8]).map(Math.round)).toEqual([-40, 60]);
    expect(stretched([1, 100], [0.5], [0], true).map(Math.round)).toEqual([10, 1000]);
    expect(stretched([0, 100], [0.5, 0.5], [0.5, 0.5])).toEqual([0, 100]); // above each other
    expect(stretched([0, 100], [0, 1], [0.5, 0.5])[1]).toBeLessThan(1000);
  });

  it("stay within what there is, and are all of it where they would be wider", () => {
    expect(within([-20, 30], [0, 100], 10)).toEqual([0, 50]);
    expect(within([90, 130], [0, 100], 10)).toEqual([60, 100]);
    expect(within([49, 51], [0, 100], 10)).toEqual([45, 55]);
    expect(within([-1, 101], [0, 100], 10)).toBeNull();
  });

  it("of y leave room, and stay above zero where the values do", () => {
    const free = { from_zero: false, most: undefined };
    expect(y_range(10, 20, free)).toEqual([9.2, 20.8]);
    expect(y_range(0.1, 20, free)[0]).toBe(0);
    expect(y_range(-1, 1, free)[0]).toBeLessThan(-1);
    expect(y_range(5, 5, free)).toEqual([0, 10]);
    expect(y_range(5, 5 + 1e-14, free)).toEqual([0, 10]);
    expect(y_range(0, 0, free)).toEqual([0, 1]);
    expect(y_range(null, null, { from_zero: true, most: 100 })).toEqual([0, 100]);
    expect(y_range(40, 90, { from_zero: true, most: 100 })).toEqual([0, 100]);
    expect(y_range(40, 120, { from_zero: true, most: 100 })[1]).toBeGreaterThan(120);
  });

  it("are shared by the charts of a group, which follow until somebody zooms", () => {
    const group = chart_group("step", "a");
    expect(shown_range(group)).toBeNull();
    const first = member([0, 500]);
    group.members.add(first).add(member([100, 1000])).add(member(null));
    expect(shown_range(group)).toEqual([0, 1000]);
    first.extent = [0, 2000];
    expect(shown_range(group)).toEqual([0, 2000]);
    show_range(group, [500, 600]);
    first.extent = [0, 3000];
    expect(shown_range(group)).toEqual([500, 600]);
    pan(group, 0.5);
    expect(shown_range(group)).toEqual([550, 650]);
    zoom(group, 2);
    expect(shown_range(group)).toEqual([500, 700]);
    zoom(group, 1000);
    expect(group.view.getState().range).toBeNull();
    pan(group, 1); // there is nothing beside everything
    expect(group.view.getState().range).toBeNull();
    zoom(group, 0.5);
    follow(group);
    expect(shown_range(group)).toEqual([0, 3000]);
    group.view.setState({ log_x: true });
    expect(full_range(group)).toEqual([1, 3000]);
    expect(period_ms(group)).toBe(250);
    for (let i = 0; i < 29; i += 1) group.members.add(member(null));
    expect(period_ms(group)).toBe(1000);
  });
});

describe("smoothing", () => {
  it("is TensorBoard's where values are evenly spaced", () => {
    const values = [4, 0, 8, 8, 2];
    let last = 0;
    const tensorboard = values.map((value, i) => {
      last = last * 0.6 + 0.4 * value;
      return last / (1 - 0.6 ** (i + 1));
    });
    smoothed([10, 20, 30, 40, 50], values, 0.6).forEach((value, i) => expect(value).toBeCloseTo(tensorboard[i] as number, 10));
    expect(smoothed([0, 1, 2], [5, 5, 5], 0.99).map((value) => value?.toFixed(6))).toEqual(["5.000000", "5.000000", "5.000000"]);
  });

  it("leaves gaps, and weighs by distance", () => {
    expect(smoothed([0, 1, 2], [1, null, 1], 0.9)[1]).toBeNull();
    const near = smoothed([0, 10, 20, 21], [0, 0, 0, 1], 0.9)[3] as number;
    const far = smoothed([0, 10, 20, 30], [0, 0, 0, 1], 0.9)[3] as number;
    expect(near).toBeLessThan(far / 2);
    expect(usual_distance([0, 10, 20, 30, 31, 32])).toBe(10);
    expect(usual_distance([3])).toBe(1);
    expect(smoothed([], [], 0.5)).toEqual([]);
  });
});

describe("columns", () => {
  const mean = [2, 0, 4];
  const curves = [{ mean, min: [1, 0, 3], max: [3, 0, 5] }, { mean: [1, 1, 1] }];

  it("are handed on as they are", () => {
    const view = { log_x: false, log_y: false, smoothing: 0 };
    const x = [0, 1, 2];
    const drawn = drawn_columns(x, curves, view);
    expect(drawn[0]).toBe(x);
    expect(drawn[3]).toBe(mean);
    expect(layers(curves, 0).map(({ curve, kind }) => `${curve} ${kind}`)).toEqual(["0 max", "0 min", "0 line", "1 line"]);
    expect(drawn).toHaveLength(5);
    expect(layers([{ mean, min: mean, max: mean }], 0.5)).toHaveLength(2); // a band of no height is none
  });

  it("have gaps where there is no logarithm", () => {
    expect(positive(mean)).toEqual([2, null, 4]);
    expect(positive([1, null])).toEqual([1, null]);
    const drawn = drawn_columns([0, 1, 2], curves, { log_x: true, log_y: true, smoothing: 0.5 });
    expect(drawn[0]).toEqual([1, 2]);
    expect(drawn[3]).toEqual([null, 4]);
    expect(drawn_columns([0], [{ mean: [1] }], { log_x: true, log_y: false, smoothing: 0 })).toEqual([[], []]);
  });
});

describe("labels", () => {
  it("of times tell the day once", () => {
    const at = (text: string) => new Date(text).getTime() / 1000;
    expect(time_labels([at("2026-01-31T23:59:00"), at("2026-02-01T00:00:00"), at("2026-02-01T00:01:00")], 60))
      .toEqual(["23:59\n2026-01-31", "00:00\n02-01", "00:01"]);
    expect(time_labels([at("2026-01-31T23:59:05")], 5)).toEqual(["23:59:05\n2026-01-31"]);
    expect(time_labels([at("2026-01-31T00:00:00"), at("2026-02-01T00:00:00")], 86400)).toEqual(["2026-01-31", "02-01"]);
    expect(time_labels([at("2025-12-31T00:00:00"), at("2026-01-02T00:00:00")], 2 * 86400)).toEqual(["2025-12-31", "2026-01-02"]);
    expect(x_words("time", at("2026-01-31T12:00:00"))).toBe("2026-01-31 12:00:00");
    expect(x_words("step", 1200)).toBe("step 1,200");
  });

  it("of numbers are short and tell them apart", () => {
    expect([0, 2500, 12000, 12500, 1200000, 2e9].map(step_label)).toEqual(["0", "2,500", "12k", "12.5k", "1.2M", "2G"]);
    expect([y_label(0, 1), y_label(0.25, 0.25), y_label(7.5, 2.5), y_label(0.02, 0.01), y_label(0.0001, 0.00005), y_label(0.00015, 0.00005),
      y_label(250, 50), y_label(3e6, 1e6)])
      .toEqual(["0", "0.25", "7.5", "0.02", "1.0e-4", "1.5e-4", "250", "3e6"]);
  });

  it("of a logarithmic axis are few", () => {
    expect(log_ticks(1, 1000)).toEqual([1, 10, 100, 1000]);
    expect(log_ticks(1, 100)).toEqual([1, 2, 5, 10, 20, 50, 100]);
    expect(log_ticks(0.2, 0.3)).toEqual([0.2, 0.22, 0.24, 0.26, 0.28, 0.3]);
    expect(log_ticks(1e-9, 1e9).length).toBeLessThanOrEqual(7);
  });
});

describe("markers", () => {
  const marker = (x: number, tone: PlotMarker["tone"] = "quiet"): PlotMarker => ({ x, tone, label: `at ${x}` });

  it("are one where they are too near, and the gravest of them is what is seen", () => {
    const found = clusters([marker(0), marker(5, "bad"), marker(11), marker(100, "wait"), marker(999)], (x) => (x < 200 ? x : null));
    expect(found.map(({ at, tone, markers }) => [at, tone, markers.length])).toEqual([[5, "bad", 2], [11, "quiet", 1], [100, "wait", 1]]);
    expect(cluster_words(found[0] as (typeof found)[0])).toBe("at 5 and 1 more");
    expect(cluster_words({ markers: [1, 2, 3].map((x) => marker(x)) })).toBe("at 1 and 2 more");
    expect(nearest(found, 97)?.at).toBe(100);
    expect(nearest(found, 50)).toBeNull();
    expect(clusters(Array.from({ length: 500 }, (_, i) => marker(i)), (x) => x)).toHaveLength(50);
  });

  it("are a list, in which many small ones are counted", () => {
    expect(marker_list([marker(1), marker(2, "bad")])).toEqual(["at 1", "at 2"]);
    const many = [marker(0, "bad"), ...Array.from({ length: 30 }, (_, i) => marker(i + 1))];
    expect(marker_list(many)).toEqual(["at 0", "30 other events, listed under Events"]);
  });
});

it("tells a figure in words", () => {
  const first = summary({ mean: [1, 5, null], min: [0, 4, null], max: [2, 9, null] });
  expect(first).toEqual({ last: 5, least: 0, greatest: 9 });
  expect(summary({ mean: [null] })).toBeNull();
  const say = (value: number) => `${value} ms`;
  expect(summary_words([first], say)).toBe("now 5 ms · from 0 ms to 9 ms");
  expect(summary_words([first, null, { last: 7, least: 7, greatest: 7 }], say)).toBe("now 5 ms to 7 ms · from 0 ms to 9 ms");
  expect(summary_words([first], String, "ms")).toBe("now 5 · from 0 to 9 ms");
  expect(summary_words([null], say)).toBeNull();
});

it("writes CSV", () => {
  const mean = [1, null];
  expect(series_csv("step", [10, 20], [{ label: 'a, "b"', mean, min: [0, null], max: [2, null] }], "ms"))
    .toBe('step,"a, ""b"" (ms)","a, ""b"" (ms) min","a, ""b"" (ms) max"\r\n10,1,0,2\r\n20,,,\r\n');
  expect(series_csv("time", [0.5], [{ label: "loss", mean: [3], min: mean, max: mean }])).toContain("1970-01-01T00:00:00.500Z,3,1,1");
});

describe("curves", () => {
  it("differ in color or dash pattern, neighbours in both", () => {
    const looks = Array.from({ length: 32 }, (_, i) => JSON.stringify(curve_look(i)));
    expect(new Set(looks).size).toBe(32);
    expect(curve_look(0)).toEqual({ color: "--curve-1" });
    expect(curve_look(1).dash).not.toEqual(curve_look(2).dash);
  });

  it("have 3:1 on the card of either theme", () => {
    const channel = (value: number) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const shine = (hex: string) =>
      [1, 3, 5].reduce((sum, at, i) => sum + (([0.2126, 0.7152, 0.0722][i] as number) * channel(parseInt(hex.slice(at, at + 2), 16) / 255)), 0);
    const contrast = (a: string, b: string) => (Math.max(shine(a), shine(b)) + 0.05) / (Math.min(shine(a), shine(b)) + 0.05);
    const colors = (file: string) =>
      [...readFileSync(new URL(`../src/styles/${file}.css`, import.meta.url), "utf8").matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g)];
    const card = colors("base").find(([, name]) => name === "card");
    const curves = colors("charts");
    expect(curves).toHaveLength(8);
    for (const [, name, light, dark] of curves) {
      expect(contrast(light as string, card?.[2] as string), name).toBeGreaterThanOrEqual(3);
      expect(contrast(dark as string, card?.[3] as string), name).toBeGreaterThanOrEqual(3);
    }
  });
});
