// What is shown of the charts of a group, and how: for all of them at once.
import { Root, Range as SliderRange, Thumb, Track } from "@radix-ui/react-slider";
import { useId } from "react";
import { useStore } from "zustand";
import { type ChartGroup, follow, pan, zoom } from "./group";

type Offer = "smoothing" | "log_x" | "log_y";

const STEP = 0.01;

function Smoothing({ group }: { group: ChartGroup }) {
  const name = useId();
  const smoothing = useStore(group.view, (view) => view.smoothing);
  return (
    <div className="smoothing">
      <span id={name}>Smoothing</span>
      <Root className="slider" min={0} max={0.99} step={STEP} value={[smoothing]}
        onValueChange={([value = 0]) => group.view.setState({ smoothing: Math.round(value / STEP) * STEP })}>
        <Track className="slider-track">
          <SliderRange className="slider-range" />
        </Track>
        <Thumb className="slider-thumb" aria-labelledby={name} />
      </Root>
      <output className="number">{smoothing.toFixed(2)}</output>
    </div>
  );
}

function Toggle({ group, name, words }: { group: ChartGroup; name: "log_x" | "log_y"; words: string }) {
  const on = useStore(group.view, (view) => view[name]);
  return (
    <button type="button" aria-pressed={on} onClick={() => group.view.setState(name === "log_x" ? { log_x: !on, range: null } : { log_y: !on })}>
      {words}
    </button>
  );
}

function Way({ words, shape, press, disabled = false }: { words: string; shape: string; press: () => void; disabled?: boolean }) {
  return (
    <button type="button" className="icon" aria-label={words} title={words} disabled={disabled} onClick={press}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        <path d={shape} fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round" />
      </svg>
    </button>
  );
}

export function ChartControls({ group, offers }: { group: ChartGroup; offers: readonly Offer[] }) {
  const follows = useStore(group.view, ({ range }) => range === null);
  return (
    <div className="chart-controls" role="group" aria-label="Charts">
      {offers.includes("smoothing") && <Smoothing group={group} />}
      {offers.includes("log_x") && <Toggle group={group} name="log_x" words="log x" />}
      {offers.includes("log_y") && <Toggle group={group} name="log_y" words="log y" />}
      <span className="ways">
        <Way words="Earlier" shape="M10 3 5 8l5 5" disabled={follows} press={() => pan(group, -0.5)} />
        <Way words="Zoom in" shape="M8 3v10M3 8h10" press={() => zoom(group, 0.5)} />
        <Way words="Zoom out" shape="M3 8h10" disabled={follows} press={() => zoom(group, 2)} />
        <Way words="Later" shape="M6 3l5 5-5 5" disabled={follows} press={() => pan(group, 0.5)} />
      </span>
      <button type="button" aria-pressed={follows} title="Show everything, and follow what is new" onClick={() => follow(group)}>
        follow
      </button>
    </div>
  );
}

// Below the charts.
export const CHART_HELP =
  "The band reaches from the least to the greatest of what a point stands for. Drag to zoom, double-click to see all; " +
  "with Shift, dragging or the wheel moves; with Ctrl, the wheel zooms. Two fingers zoom, one moves.";
