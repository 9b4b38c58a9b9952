// The list of trainings, read once and again after a reset: pages show the store, which the live channels keep up to date.
import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { TrainingList } from "../api/schema";
import { use_trainings } from "./store";
import { with_list } from "./trainings_state";

export const LIST_LIMIT = 500;

async function load_list() {
  const asked_at = Date.now();
  const { data, pagination } = await get<TrainingList>(`trainings?limit=${LIST_LIMIT}`);
  use_trainings.setState((state) => with_list(state, data, asked_at, pagination.total <= data.length));
  return pagination;
}

export function use_training_list() {
  return useQuery({ queryKey: ["trainings", "list"], queryFn: load_list });
}
