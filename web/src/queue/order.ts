// The queue as the scheduler goes through it (control/jobs/schedule.cpp): by priority, then by arrival; and which
// priorities put a training elsewhere.
import type { Training } from "../api/schema";

export const MOST_PRIORITY = 100;

export interface Queue {
  line: Training[]; // in the order in which they are looked at
  held: Training[];
  paused: Training[];
}

// `arrival`: ids in the order in which they came, for those of a group, which came at one moment.
function by_arrival(arrival: readonly string[]): (a: Training, b: Training) => number {
  const place = new Map(arrival.map((id, i) => [id, i]));
  return (a, b) =>
    a.created_at.localeCompare(b.created_at) || (place.get(a.id) ?? 0) - (place.get(b.id) ?? 0) || a.id.localeCompare(b.id);
}

export function queue_of(trainings: Training[], arrival: readonly string[]): Queue {
  const earlier = by_arrival(arrival);
  const of = (belongs: (training: Training) => boolean) =>
    trainings.filter(belongs).sort((a, b) => b.priority - a.priority || earlier(a, b));
  return {
    line: of(({ status, held }) => status === "queued" && !held),
    held: of(({ status, held }) => status === "queued" && held),
    paused: of(({ status }) => status === "paused"),
  };
}

// Whether the order of some cannot be told from when they came.
export function came_together(trainings: Training[]): boolean {
  return new Set(trainings.map(({ created_at }) => created_at)).size < trainings.length;
}

export interface Placed {
  id: string;
  priority: number;
  arrival: number; // the least came first
  is_moved: boolean;
}

export interface Change {
  id: string;
  from: number;
  to: number;
}

// So costly that no difference of priorities outweighs one more training changed. Where another one might as well
// change, it is the one that was moved.
const ONE_CHANGE = 1e6;
const NOT_THE_MOVED = 0.5;

function cost_of({ priority, is_moved }: Placed, next: number): number {
  return priority === next ? 0 : ONE_CHANGE + Math.abs(priority - next) + (is_moved ? 0 : NOT_THE_MOVED);
}

interface Best {
  cost: number;
  next: number; // the priority of the one behind
}

// Of one with each priority 0..100: the least cost of it and of all behind it, given that of the one behind it.
function best_before(one: Placed, behind: Placed | undefined, costs: number[]): Best[] {
  // Of equal priorities the earlier one is first.
  const may_equal = behind === undefined || one.arrival < behind.arrival;
  let least: Best = { cost: Infinity, next: 0 };
  return costs.map((cost, priority) => {
    if (may_equal && cost < least.cost) least = { cost, next: priority };
    const best = { cost: cost_of(one, priority) + (behind === undefined ? 0 : least.cost), next: least.next };
    if (!may_equal && cost < least.cost) least = { cost, next: priority };
    return best;
  });
}

// The fewest changes that make the scheduler's order the order of `line`; of those, the smallest. null: there is
// none, since more must be told apart than there are priorities.
export function changes_for(line: Placed[]): Change[] | null {
  const table: Best[][] = [];
  let costs: number[] = Array<number>(MOST_PRIORITY + 1).fill(0);
  for (let i = line.length - 1; i >= 0; i -= 1) {
    const best = best_before(line[i] as Placed, line[i + 1], costs);
    table[i] = best;
    costs = best.map(({ cost }) => cost);
  }
  let priority = costs.indexOf(Math.min(...costs));
  if (costs[priority] === Infinity) return null;
  const changes: Change[] = [];
  line.forEach(({ id, priority: from }, i) => {
    if (from !== priority) changes.push({ id, from, to: priority });
    priority = table[i]?.[priority]?.next ?? 0;
  });
  return changes;
}

// The line with `id` at that place (from 0).
export function moved(line: readonly Training[], arrival: readonly string[], id: string, place: number): Placed[] {
  const ranks = new Map([...line].sort(by_arrival(arrival)).map((training, rank) => [training.id, rank]));
  const all = line.map((one) => ({ id: one.id, priority: one.priority, arrival: ranks.get(one.id) ?? 0, is_moved: one.id === id }));
  const rest = all.filter(({ is_moved }) => !is_moved);
  return [...rest.slice(0, place), ...all.filter(({ is_moved }) => is_moved), ...rest.slice(place)];
}

// Where a row lands that is let go at `y`: before the first other row whose middle is below.
export function landing(middles: readonly number[], y: number): number {
  const found = middles.findIndex((middle) => y < middle);
  return found < 0 ? middles.length : found;
}
