import { use_words_of_now } from "../clock";
import { Bell } from "../events/bell";
import { duration } from "../format";
import { use_devices, use_phase } from "../live/store";
import { set_theme, type Theme, THEMES, use_theme } from "../theme";

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
  const words = use_words_of_now((now) => {
    const seconds = Math.max(0, Math.floor((now - received_at) / 1000));
    return seconds < 3 ? "updated now" : `updated ${duration(seconds)} ago`;
  });
  return received_at === 0 ? null : <span className="age">{words}</span>;
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

// Pages that no entry leads to, and the entry that they belong to.
const SECTION_OF: Record<string, string> = { devices: "", compare: "trainings" };

export function Header({ place }: { place: string }) {
  const link = (to: string, words: string) => (
    <a href={`#/${to}`} aria-current={place === to ? "page" : SECTION_OF[place] === to ? "true" : undefined}>
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
