// A month that a server has measured, written into its database while it is down: rows are as old as it keeps them.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { gpu_uuid } from "./machine";

// As src/control/store/device_history.h names them.
const FIELDS = ["utilization", "memory_utilization", "memory_used", "temperature", "power_draw", "energy", "fan_speed", "clocks_sm", "clocks_memory",
  "pcie_tx", "pcie_rx", "nvlink_tx", "nvlink_rx"];
export const HOUR = 3600;
export const DAY = 24 * HOUR;

type Summary = readonly [min: number, mean: number, max: number];
type Row = readonly [uuid: string, bucket_s: number, time: number, job: string, values: readonly (Summary | null)[]];

// Of 1 s for an hour, of 10 s for a day, else of 60 s.
function width_at(age_s: number): number {
  return age_s <= HOUR ? 1 : age_s <= DAY ? 10 : 60;
}

interface Held {
  job: string;
  from: number; // s before now
  to: number;
}

interface Month {
  now: number; // epoch seconds
  off: readonly (readonly [from: number, to: number])[]; // s before now: the server was down
  held: readonly Held[];
  hot: number; // s before now: a spike of a minute
}

// Busy while a job holds it, at rest else, and warmer by day than by night.
export function month_of({ now, off, held, hot }: Month): Row[] {
  const rows: Row[] = [];
  const end = Math.floor(now / 60) * 60;
  for (let time = end - 30 * DAY + HOUR; time < end; ) {
    const age = now - time;
    const bucket_s = width_at(age);
    const job = held.find((one) => age <= one.from && age > one.to)?.job ?? "";
    if (!off.some(([from, to]) => age <= from && age > to)) rows.push([gpu_uuid(0), bucket_s, time, job, values(time, job !== "", Math.abs(age - hot) < 60)]);
    time += bucket_s;
  }
  return rows;
}

function values(time: number, busy: boolean, hot: boolean): (Summary | null)[] {
  const day = Math.sin((2 * Math.PI * time) / DAY);
  const noise = Math.abs(Math.sin(time * 12.9898) * 43758.5453) % 1;
  const band = (mean: number, below: number, above: number): Summary => [mean - below * noise, mean, mean + above * noise];
  const temperature = (busy ? 68 : 34) + 3 * day;
  const of: Record<string, Summary> = {
    utilization: busy ? [55, 88 + 4 * day, 100] : [0, 1.5 + noise, 6],
    memory_utilization: busy ? band(60, 20, 15) : [0, 0.5, 3],
    memory_used: busy ? band(9e10, 1e9, 2e9) : [6e8, 6e8, 6e8],
    temperature: hot ? [temperature, temperature + 5, 93] : band(temperature, 3, 4),
    power_draw: busy ? band(610 + 20 * day, 60, 70) : band(75, 4, 6),
    clocks_sm: busy ? [1755, 1935, 1980] : [345, 345, 345],
    clocks_memory: [2619, 2619, 2619],
    pcie_tx: busy ? band(2e9, 1e9, 3e9) : [1e6, 2e6, 4e6],
    pcie_rx: busy ? band(4e9, 2e9, 4e9) : [1e6, 2e6, 4e6],
  };
  return FIELDS.map((field) => of[field] ?? null);
}

// A spreading of the flat values, so that what is sent stays small: an absent one is three NULLs and a count of 0.
const INSERT = `
import json, sqlite3, sys
told = json.load(sys.stdin)
columns = ["uuid", "bucket_s", "time", "job_id", "samples"]
columns += [f"{field}_{part}" for field in told["fields"] for part in ("min", "mean", "max", "count")]
def flat(uuid, bucket_s, time, job, values):
    cells = [uuid, bucket_s, time, job, bucket_s]
    for value in values:
        cells += [*value, bucket_s] if value else [None, None, None, 0]
    return cells
database = sqlite3.connect(told["path"])
with database:
    database.executemany(f"INSERT INTO gpu_metrics_history ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
                         (flat(*row) for row in told["rows"]))
    database.executemany("INSERT INTO system_events (time, severity, code, is_over, host, device_uuid, training_id, message)"
                         " VALUES (?, ?, ?, 0, '', ?, '', ?)", told["events"])
`;

type Event = readonly [time: number, severity: number, code: string, uuid: string, message: string];

// `data`: the folder of a server that is down.
export function store(data: string, rows: readonly Row[], events: readonly Event[]): void {
  const input = JSON.stringify({ path: join(data, "saemill.db"), fields: FIELDS, rows, events });
  execFileSync("python3", ["-c", INSERT], { input });
}
