// Sentences of the server tell times in UTC; beside times of the page they would mislead.
import { clock_of, day_of, moment } from "./format";

export interface Time {
  at: Date;
  words: string;
}

export type Piece = string | Time;

// "2026-01-31T12:34:56.789Z", "2026-01-31 12:34 UTC", and without a day what is less than a day ahead.
const TIMES = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z|(?:\d{4}-\d\d-\d\d )?\d\d:\d\d UTC)/;
const DAY_MS = 86_400_000;
const PAST_MS = 3_600_000; // a sentence may be as old

// "14:05", with the day where it is another one.
export function near_clock(at: Date, now: number): string {
  const day = day_of(at);
  return `${day === day_of(new Date(now)) ? "" : `${day} `}${clock_of(at, false)}`;
}

function without_day(clock: string, now: number): Date {
  const midnight = Math.floor((now - PAST_MS) / DAY_MS) * DAY_MS;
  const at = midnight + Date.parse(`1970-01-01T${clock}Z`);
  return new Date(at < now - PAST_MS ? at + DAY_MS : at);
}

function time_of(found: string, now: number): Piece {
  const is_exact = found.endsWith("Z");
  const clock = found.replace(" UTC", "");
  const at = is_exact ? new Date(found) : clock.length === 5 ? without_day(clock, now) : new Date(`${clock.replace(" ", "T")}Z`);
  if (Number.isNaN(at.getTime())) return found;
  return { at, words: is_exact ? moment(found) : near_clock(at, now) };
}

// Every second one is a time.
export function pieces_of(words: string, now: number): Piece[] {
  return words.split(TIMES).map((piece, i) => (i % 2 === 0 ? piece : time_of(piece, now)));
}

// Where there can only be text.
export function said(words: string, now: number): string {
  return pieces_of(words, now).map((piece) => (typeof piece === "string" ? piece : piece.words)).join("");
}
