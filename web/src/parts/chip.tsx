// A state: a shape, a color and always the word.
const SHAPES = {
  circle: "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3z",
  ring: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 2.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z",
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zm5 0h3v10H9z",
  check: "M6.3 12.5 2 8.2l1.6-1.6 2.7 2.7 6.1-6.1L14 4.8z",
  cross: "M3.6 2 8 6.4 12.4 2 14 3.6 9.6 8l4.4 4.4-1.6 1.6L8 9.6 3.6 14 2 12.4 6.4 8 2 3.6z",
  warn: "M8 1.5 15.5 14.5H.5zM7.2 6v4h1.6V6zm0 5v1.7h1.6V11z",
  bar: "M2 6.5h12v3H2z",
} as const;

type Look = [keyof typeof SHAPES, "good" | "busy" | "quiet" | "bad" | "wait"];

const LOOKS: Record<string, Look> = {
  free: ["circle", "good"],
  leased: ["play", "busy"],
  foreign: ["warn", "wait"],
  unhealthy: ["warn", "bad"],
  lost: ["cross", "bad"],
  prohibited: ["bar", "quiet"],
  unknown: ["ring", "quiet"],
  queued: ["ring", "quiet"],
  starting: ["play", "busy"],
  running: ["play", "busy"],
  pausing: ["pause", "wait"],
  paused: ["pause", "wait"],
  finalizing: ["play", "busy"],
  completed: ["check", "good"],
  failed: ["warn", "bad"],
  cancelled: ["cross", "quiet"],
  info: ["circle", "quiet"],
  warning: ["warn", "wait"],
  error: ["cross", "bad"],
  ended: ["check", "good"],
};

const look_of = (state: string): Look => LOOKS[state] ?? ["ring", "quiet"];

// Where there is no room for the word; it must be said elsewhere.
export function Shape({ state }: { state: string }) {
  const [shape, tone] = look_of(state);
  return (
    <svg className={`shape ${tone}`} viewBox="0 0 16 16" width="12" height="12" aria-hidden="true">
      <path d={SHAPES[shape]} fill="currentColor" fillRule="evenodd" />
    </svg>
  );
}

export function Chip({ state, children }: { state: string; children?: string | number }) {
  return (
    <span className={`chip ${look_of(state)[1]}`}>
      <Shape state={state} />
      {state}
      {children !== undefined && <b>{children}</b>}
    </span>
  );
}
