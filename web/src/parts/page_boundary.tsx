// What is shown where a page could not be loaded or has failed: the rest of the application goes on.
import { Component, type ReactNode, useEffect } from "react";
import { message_of } from "../api/client";
import { use_phase } from "../live/store";
import { use_title } from "../router";

function Failed({ error }: { error: unknown }) {
  use_title("Not shown");
  // The server was away, or is another version by now, whose files have other names: either way they are there again.
  useEffect(
    () => use_phase.subscribe(({ phase }, before) => void (phase === "live" && before.phase !== "live" && location.reload())),
    [],
  );
  return (
    <section aria-labelledby="title">
      <h1 id="title">This page could not be shown</h1>
      <p role="alert" className="error">{message_of(error)}</p>
      <button type="button" onClick={() => location.reload()}>
        Load it again
      </button>
    </section>
  );
}

export class PageBoundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: undefined };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    return error === undefined ? this.props.children : <Failed error={error} />;
  }
}
