// The lines of a run as they come, four times a second at most.
import { useEffect, useRef } from "react";
import type { RunEvent } from "../api/schema";
import { batched } from "../live/batch";
import type { Message } from "../live/connection";
import { live } from "../live/store";

export function use_lines(id: string, take: (lines: RunEvent[]) => void, reset: () => void): void {
  const latest = useRef({ take, reset });
  latest.current = { take, reset };
  useEffect(() => {
    const message = batched<Message>((messages) => {
      const told = messages.filter(({ event }) => event === "training:progress" || event === "training:warning");
      const lines = told.map(({ data }) => data as RunEvent);
      if (lines.length > 0) latest.current.take(lines);
    });
    return live.subscribe(`trainings/${id}/progress`, { message, reset: () => latest.current.reset() });
  }, [id]);
}
