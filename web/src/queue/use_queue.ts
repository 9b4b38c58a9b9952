// The queue, live, and how its order is changed.
import { useQuery } from "@tanstack/react-query";
import { useMemo, useRef, useState } from "react";
import { message_of } from "../api/client";
import type { Training } from "../api/schema";
import { use_trainings } from "../live/store";
import { all_of, control } from "../live/trainings";
import { came_together, type Change, changes_for, moved, type Queue, queue_of } from "./order";

// The server's list is by arrival, newest first.
function use_arrival(waiting: Training[]): string[] {
  const ids = waiting.map(({ id }) => id).sort().join();
  const list = useQuery({
    queryKey: ["trainings", "arrival", ids],
    queryFn: async () => (await all_of("queued")).map(({ id }) => id).reverse(),
    enabled: came_together(waiting),
    staleTime: Infinity,
    placeholderData: (before) => before,
  });
  return list.data ?? [];
}

export interface Refused {
  id: string;
  name: string;
  message: string;
}

// Stays the same, so that rows are drawn again only when they change.
export interface QueueActions {
  move: (id: string, place: number) => void;
  prioritize: (id: string, priority: number) => void;
}

export interface QueueOrder extends Queue {
  told: string; // what the last move came to
  refused: Refused | null;
  actions: QueueActions;
}

function words_of(changes: Change[], name_of: (id: string) => string): string {
  return changes.map(({ id, from, to }) => `${name_of(id)} ${from} → ${to}`).join(", ");
}

// A row that moves takes the focus out of the page, which whoever works by keyboard would have to find again.
function keep_focus(): () => void {
  const id = document.activeElement?.id;
  return () =>
    requestAnimationFrame(() => {
      if (id && document.activeElement === document.body) document.getElementById(id)?.focus();
    });
}

interface Progress {
  told: string;
  refused: Refused | null;
}

// One after the other: the first that is refused ends it.
async function change_all(changes: Change[], name_of: (id: string) => string): Promise<Refused | null> {
  const focus_again = keep_focus();
  for (const { id, to } of changes) {
    try {
      await control(id, "prioritize", { priority: to });
    } catch (error) {
      return { id, name: name_of(id), message: message_of(error) };
    }
  }
  focus_again();
  return null;
}

function move_words(name: string, place: number, changes: Change[], own: string, name_of: (id: string) => string): string {
  const others = changes.some(({ id }) => id !== own);
  const why = others ? " No whole number lies between its neighbours, so the priority of others changed." : "";
  return `${name} is at place ${place + 1}. Priority: ${words_of(changes, name_of) || "as it was"}.${why}`;
}

export function use_queue(): QueueOrder {
  const by_id = use_trainings((state) => state.by_id);
  const all = Object.values(by_id);
  const arrival = use_arrival(all.filter(({ status }) => status === "queued"));
  const queue = queue_of(all, arrival);
  const [progress, set_progress] = useState<Progress>({ told: "", refused: null });
  const latest = useRef({ line: queue.line, arrival, by_id });
  latest.current = { line: queue.line, arrival, by_id };
  const busy = useRef(false);
  const actions = useMemo(() => {
    const name_of = (id: string) => latest.current.by_id[id]?.name ?? id;
    // A press while another change is on its way would be of an order that is no more.
    const change = async (changes: Change[], told: string) => {
      if (busy.current) return;
      busy.current = true;
      const refused = await change_all(changes, name_of);
      busy.current = false;
      set_progress((before) => (refused === null ? { told, refused } : { ...before, refused }));
    };
    const move = (id: string, place: number) => {
      const { line, arrival: known } = latest.current;
      if (!line.some((training) => training.id === id)) return; // it has started while it was dragged
      const changes = changes_for(moved(line, known, id, place));
      if (changes === null) set_progress({ told: `${name_of(id)} stays: there are too few priorities for this order.`, refused: null });
      else void change(changes, move_words(name_of(id), place, changes, id, name_of));
    };
    const prioritize = (id: string, to: number) => {
      const from = latest.current.by_id[id]?.priority ?? to;
      void change([{ id, from, to }], `Priority: ${words_of([{ id, from, to }], name_of)}.`);
    };
    return { move, prioritize };
  }, []);
  return { ...queue, ...progress, actions };
}
