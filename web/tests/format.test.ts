import { describe, expect, it } from "vitest";
import { bytes, count, duration, flattened, gib, metric, moment, percent, share, uuid_tail } from "../src/format";

describe("numbers", () => {
  it("tells nothing where nothing is known", () => {
    for (const show of [gib, bytes, percent, metric, count, duration]) {
      expect(show(undefined)).toBe("–");
      expect(show(null)).toBe("–");
      expect(show(NaN)).toBe("–");
    }
    expect(moment(undefined)).toBe("–");
    expect(moment("yesterday")).toBe("–");
  });

  it("has units", () => {
    expect(gib(150_000_000_000)).toBe("139.7 GiB");
    expect(bytes(0)).toBe("0 B");
    expect(bytes(1023)).toBe("1023 B");
    expect(bytes(1536)).toBe("1.5 KiB");
    expect(bytes(2 ** 50)).toBe("1024.0 TiB");
    expect(percent(3)).toBe("3 %");
  });

  it("shows metrics of any size", () => {
    expect(metric(0)).toBe("0");
    expect(metric(0.0430856)).toBe("0.04309");
    expect(metric(0.00004)).toBe("4.00e-5");
    expect(metric(-12.5)).toBe("-12.5");
    expect(metric(18156.07)).toBe("18,156");
    expect(metric(2.5e9)).toBe("2.50e+9");
  });

  it("shows durations", () => {
    expect(duration(0.4)).toBe("0 s");
    expect(duration(-1)).toBe("0 s");
    expect(duration(61)).toBe("1 min 1 s");
    expect(duration(3 * 3600 + 120)).toBe("3 h 2 min");
    expect(duration(90_000)).toBe("1 d 1 h");
  });

  it("keeps shares between nothing and all", () => {
    expect(share(1, 4)).toBe(25);
    expect(share(9, 4)).toBe(100);
    expect(share(1, 0)).toBeUndefined();
    expect(share(undefined, 4)).toBeUndefined();
  });
});

it("shortens a uuid to what differs", () => expect(uuid_tail("GPU-00000003-1111-2222-3333-444444444444")).toBe("…44444444"));

it("leaves the short ids of CPU slots as they are", () => expect(uuid_tail("CPU-host-3")).toBe("CPU-host-3"));

it("shows nested tables as dotted keys", () => {
  expect(flattened({ name: "a", sae: { k: 8, decay: null }, list: [1, 2], empty: "" })).toEqual([
    ["name", "a"],
    ["sae.k", "8"],
    ["sae.decay", "null"],
    ["list", "[1,2]"],
    ["empty", '""'],
  ]);
});
