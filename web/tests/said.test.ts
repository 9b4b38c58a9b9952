import { afterAll, beforeAll, expect, it } from "vitest";
import { pieces_of, said } from "../src/said";

const zone = process.env["TZ"];
beforeAll(() => void (process.env["TZ"] = "Asia/Kolkata")); // UTC+5:30
afterAll(() => void (zone === undefined ? delete process.env["TZ"] : (process.env["TZ"] = zone)));

const NOW = Date.parse("2026-11-21T18:00:00Z"); // 23:30 there

it("times of the server's sentences are told in the reader's zone", () => {
  expect(said("XID 48 at 2026-11-21T17:04:05.678Z; reset the GPU", NOW)).toBe("XID 48 at 2026-11-21 22:34:05; reset the GPU");
  expect(said("held until 2026-11-21T20:00:00Z", NOW)).toBe("held until 2026-11-22 01:30:00");
  expect(said("gpu:0 when training a ends at about 18:20 UTC, gpu:1 at about 19:00 UTC", NOW))
    .toBe("gpu:0 when training a ends at about 23:50, gpu:1 at about 2026-11-22 00:30");
  expect(said("ends at about 2026-12-24 06:00 UTC", NOW)).toBe("ends at about 2026-12-24 11:30");
  for (const words of ["no time", "", "at 12:34 o'clock", "2026-11-21", "99:99 UTC"]) expect(said(words, NOW)).toBe(words);
});

it("a time without a day is the next one, or one that has just been", () => {
  const at = (words: string) => pieces_of(words, NOW).flatMap((piece) => (typeof piece === "string" ? [] : [piece.at.toISOString()]));
  expect(at("17:30 UTC")).toEqual(["2026-11-21T17:30:00.000Z"]);
  expect(at("16:30 UTC")).toEqual(["2026-11-22T16:30:00.000Z"]);
  expect(at("18:00 UTC and 2026-11-25 01:02 UTC")).toEqual(["2026-11-21T18:00:00.000Z", "2026-11-25T01:02:00.000Z"]);
});
