import { useEffect, useState } from "react";
import { duration } from "../format";
import { use_devices, use_phase } from "../live/store";
import { set_theme, type Theme, THEMES, use_theme } from "../theme";
import { Bell } from "./bell";

function State() {
  const phase = use_phase((state) => state.phase);
  const devices = use_devices((state) => state.gpus?.length);
  const words =
    phase === "lost"
      ? "Connection lost; trying again"
      : phase === "connecting" || devices === undefined
        ? "Connecting …"
        : `Live: ${devices} ${devices === 1 ? "device" : "devices"}`;
  return (
    <p id="state" role="status" className={`connection ${phase}`}>
      {words}
    </p>
  );
}

// How old what is shown is. Not announced: it changes all the time.
function Age() {
  const received_at = use_devices((state) => state.received_at);
  const [now, set_now] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set_now(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  if (received_at === 0) return null;
  const seconds = Math.max(0, Math.floor((now - received_at) / 1000));
  return <span className="age">{seconds < 3 ? "updated now" : `updated ${duration(seconds)} ago`}</span>;
}

function ThemeChoice() {
  const theme = use_theme((state) => state.theme);
  return (
    <label className="theme">
      <span>Theme </span>
      <select value={theme} onChange={(event) => set_theme(event.target.value as Theme)}>
        {THEMES.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    </label>
  );
}

export function Header({ place }: { place: string }) {
  const link = (to: string, words: string) => (
    <a href={`#/${to}`} aria-current={place === to ? "page" : undefined}>
      {words}
    </a>
  );
  return (
    <header className="top">
      <a className="brand" href="#/">
        saemill
      </a>
      <nav aria-label="Pages">
        {link("", "System")}
        {link("new", "New training")}
        {link("trainings", "Trainings")}
        {link("queue", "Queue")}
      </nav>
      <div className="top-state">
        <State />
        <Age />
      </div>
      <Bell />
      <ThemeChoice />
    </header>
  );
}
