import { describe, expect, test } from "vitest";
import { last_lines, LINES, with_part } from "../src/training/use_log";

describe("the end of a log", () => {
  test("is its last lines", () => {
    expect(last_lines("a\nb\nc\n", 2)).toBe("b\nc\n");
    expect(last_lines("a\nb\nc", 2)).toBe("b\nc"); // the last one is not finished
    expect(last_lines("\n\n\n", 2)).toBe("\n\n");
    expect(last_lines("a\nb\n", 2)).toBe("a\nb\n");
    expect(last_lines("a\n", 5)).toBe("a\n");
    expect(last_lines("", 5)).toBe("");
  });

  test("takes what comes, and drops as much at its begin", () => {
    const lines = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `${from + i}\n`).join("");
    const known = { text: lines(1, LINES), next: 700 };
    expect(with_part(known, { text: lines(LINES + 1, LINES + 3), next: 720 })).toEqual({ text: lines(4, LINES + 3), next: 720 });
  });

  test("finishes a line that was cut", () => {
    expect(with_part({ text: "one\ntw", next: 6 }, { text: "o\n", next: 8 })).toEqual({ text: "one\ntwo\n", next: 8 });
  });
});
