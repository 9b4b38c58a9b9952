// Trainings by REST. Every answer goes into the store, which pages show and the live channels keep up to date.
import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { erase, get, path_of, post } from "../api/client";
import type { Training, TrainingAction, TrainingControl, TrainingList, TrainingStatus } from "../api/schema";
import { UNFINISHED } from "../training_words";
import { read_again } from "./read_again";
import { into_trainings, live, use_trainings } from "./store";
import { newest_first, with_list, with_training, without_training } from "./trainings_state";

export const LIST_LIMIT = 500; // of a page

async function taken(question: Promise<Training>): Promise<string> {
  const asked_at = Date.now();
  const answer = await question;
  use_trainings.setState((state) => with_training(state, answer, asked_at));
  return answer.id;
}

export function load_training(id: string): Promise<string> {
  return taken(get(path_of("trainings", id)));
}

export async function control(id: string, action: TrainingAction, more: Omit<TrainingControl, "action"> = {}): Promise<void> {
  await taken(post(path_of("trainings", id, "control"), { action, ...more }));
}

// Gone from here with the answer, so that no page asks for what belonged to it until the live channel tells.
export async function delete_training(id: string): Promise<void> {
  await erase(path_of("trainings", id));
  use_trainings.setState((state) => without_training(state, id, Date.now()));
}

// Newest first.
export async function all_of(...statuses: TrainingStatus[]): Promise<Training[]> {
  const all: Training[] = [];
  for (let page = 1; ; page += 1) {
    const { data, pagination } = await get<TrainingList>(`trainings?status=${statuses.join()}&limit=${LIST_LIMIT}&page=${page}`);
    all.push(...data);
    if (page >= pagination.total_pages) return all;
  }
}

// The newest, and all that have not ended: the queue is whole, however long it is.
async function load_list() {
  const asked_at = Date.now();
  const { data, pagination } = await get<TrainingList>(`trainings?limit=${LIST_LIMIT}`);
  const is_all = pagination.total <= data.length;
  const others = is_all ? [] : await all_of(...UNFINISHED);
  const since = is_all ? "" : (data.at(-1)?.created_at ?? "");
  use_trainings.setState((state) => with_list(state, [...data, ...others], asked_at, since));
  return pagination;
}

export function use_training_list() {
  return useQuery({ queryKey: ["trainings", "list"], queryFn: load_list });
}

// For the one place that is on every page.
export function use_live_trainings(): void {
  const queries = useQueryClient();
  useEffect(() => {
    const reset = () => void read_again(queries, { queryKey: ["trainings"] });
    return live.subscribe("trainings", { message: into_trainings, reset });
  }, [queries]);
  use_training_list();
}

function follow(queries: QueryClient, id: string): () => void {
  // Lines were missed: what they said last is only told by REST.
  const reset = () => void load_training(id).catch(() => read_again(queries, { queryKey: ["trainings", "list"] }));
  return live.subscribe(`trainings/${id}/progress`, { message: into_trainings, reset });
}

// Progress of these, as a list of ids separated by blanks.
export function use_live_progress(ids: string): void {
  const queries = useQueryClient();
  useEffect(() => {
    const ends = ids.split(" ").filter(Boolean).map((id) => follow(queries, id));
    return () => ends.forEach((end) => end());
  }, [ids, queries]);
}

export type Named = Pick<Training, "id" | "name" | "status">;

// To choose from, newest first: the same list until one of them is called or stands otherwise, since it may be long.
export function use_named_trainings(): readonly Named[] {
  const before = useRef<readonly Named[]>([]);
  return use_trainings(({ by_id }) => {
    const now = newest_first(Object.values(by_id));
    const is_same = ({ id, name, status }: Named, i: number) => {
      const one = before.current[i];
      return one?.id === id && one.name === name && one.status === status;
    };
    if (now.length !== before.current.length || !now.every(is_same)) before.current = now.map(({ id, name, status }) => ({ id, name, status }));
    return before.current;
  });
}
