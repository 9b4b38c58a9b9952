// The configuration as a file, to keep and to submit from a terminal.
import { useState } from "react";
import type { Tree } from "./fields";
import { to_toml } from "./toml";

export function ConfigText({ config }: { config: Tree }) {
  const [told, tell] = useState("");
  const text = to_toml(config);
  const copy = async () => {
    // Browsers keep the clipboard from pages that came over plain http from another machine.
    const copied = await (navigator.clipboard as Clipboard | undefined)?.writeText(text).then(() => true, () => false);
    tell(copied ? "Copied." : "The browser does not allow it: select the text below.");
  };
  return (
    <details className="card">
      <summary>As TOML</summary>
      <p className="small">
        What <code>saemill submit FILE.toml</code> takes.
      </p>
      <div className="buttons">
        <button type="button" onClick={() => void copy()}>
          Copy as TOML
        </button>
        <span role="status" className="small">
          {told}
        </span>
      </div>
      <pre tabIndex={0} aria-label="The configuration as TOML">{text || "Nothing is set yet."}</pre>
    </details>
  );
}
