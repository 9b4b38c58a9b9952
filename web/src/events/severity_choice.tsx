import type { Severity } from "../api/schema";
import { SEVERITIES } from "../live/events_state";

const WORDS: Record<Severity, string> = { info: "everything", warning: "warnings and errors", error: "errors" };

export function SeverityChoice({ severity, choose }: { severity: Severity; choose: (severity: Severity) => void }) {
  return (
    <label className="small">
      Show{" "}
      <select value={severity} onChange={(event) => choose(event.target.value as Severity)}>
        {SEVERITIES.map((one) => (
          <option key={one} value={one}>
            {WORDS[one]}
          </option>
        ))}
      </select>
    </label>
  );
}

// Where there is nothing to list.
export function nothing_words(severity: Severity): string {
  return severity === "info" ? "Nothing has happened yet." : `There are no ${WORDS[severity]}.`;
}
