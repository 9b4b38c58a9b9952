// The end of a log: read once, and then what is new whenever the server tells that it has grown.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { get_log_part, type LogPart, path_of } from "../api/client";
import type { Training } from "../api/schema";
import { live } from "../live/store";
import { is_active } from "../training_words";

export const LINES = 200;

// Its last lines; what stands behind the last line end is a line, too.
export function last_lines(text: string, lines: number): string {
  let begin = text.endsWith("\n") ? text.length - 1 : text.length;
  for (let i = 0; i < lines; i++) {
    const end_before = begin === 0 ? -1 : text.lastIndexOf("\n", begin - 1);
    if (end_before < 0) return text;
    begin = end_before;
  }
  return text.slice(begin + 1);
}

export function with_part(known: LogPart, part: LogPart): LogPart {
  return { text: last_lines(known.text + part.text, LINES), next: part.next };
}

// The bytes of the rank's log, as told while the training is active.
function use_told_bytes(id: string, rank: string, active: boolean): number | null {
  const [told, set_told] = useState<{ rank: string; bytes: number } | null>(null);
  useEffect(() => {
    if (!active) return;
    const message = ({ data }: { data: unknown }) => {
      const grown = data as { rank: string; bytes: number };
      if (grown.rank === rank) set_told(grown);
    };
    // Of a server that is back the sizes are told again.
    return live.subscribe(`trainings/${id}/logs`, { message, reset: () => undefined });
  }, [id, rank, active]);
  return told?.rank === rank ? told.bytes : null;
}

export function use_log(training: Training, rank: string): { text: string | undefined; problem: string | null } {
  const queries = useQueryClient();
  const { id, status } = training;
  const key = ["trainings", id, "logs", rank, status];
  const path = `${path_of("trainings", id, "logs")}?rank=${rank}`;
  const log = useQuery({
    queryKey: key,
    queryFn: async () => {
      const known = queries.getQueryData<LogPart>(key);
      return known ? with_part(known, await get_log_part(`${path}&offset=${known.next}`)) : get_log_part(`${path}&tail=${LINES}`);
    },
    placeholderData: (before, query) => (query?.queryKey[3] === rank ? before : undefined),
    refetchOnMount: "always",
  });
  const told = use_told_bytes(id, rank, is_active(training));
  const asked = useRef<number | null>(null);
  const { isFetching, refetch, data } = log;
  useEffect(() => {
    // One reading at a time; of each size once, since a log may end in half a character.
    if (told === null || told === asked.current || isFetching) return;
    asked.current = told;
    if (told !== data?.next) void refetch();
  }, [told, isFetching, refetch, data?.next]);
  return { text: data?.text, problem: log.error?.message ?? null };
}
