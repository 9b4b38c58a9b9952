// One data folder and the real `saemill serve` that runs with it: start, stop, and start again.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Training, TrainingList, TrainingStatus } from "../src/api/schema";
import { machine_of, type Scenario } from "./machine";

export function needed(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} must be set: CMake sets it for ctest`);
  return value;
}

export interface ServerOptions {
  gpus?: number; // of the fake driver
  cpu_slots?: number; // where real workers train
  script?: object; // what tests/fake_worker plays in the place of ranks
  period?: number; // s between samples
}

const INSPECTED = { files: 1, rows: 16384, d_in: 256, dtype: "F16", tensor: "activations", bytes: 8388608 };
export const ACTIVATIONS = join(needed("SAEMILL_SOURCE"), "examples/activations");

export async function eventually<Value>(look: () => Promise<Value> | Value, seconds = 60): Promise<NonNullable<Value>> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${look.toString()}`);
    await sleep(50);
  }
}

export class Server {
  readonly folder = mkdtempSync(join(tmpdir(), "saemill-page-"));
  readonly data = join(this.folder, "xdg/saemill"); // where launchers look by themselves
  readonly scenario: Scenario;
  url = "";
  private process: ChildProcess | null = null;
  private listen = "127.0.0.1:0";
  private token = "";

  constructor(private readonly options: ServerOptions) {
    this.scenario = machine_of(options.gpus ?? 0);
    this.write_scenario();
  }

  // The fake driver reads it again; renamed into place, so that it never sees half of it.
  write_scenario(): void {
    writeFileSync(join(this.folder, "next.json"), JSON.stringify(this.scenario));
    renameSync(join(this.folder, "next.json"), join(this.folder, "scenario.json"));
  }

  private environment(): NodeJS.ProcessEnv {
    const { gpus = 0, script } = this.options;
    const environment: NodeJS.ProcessEnv = { ...process.env, LD_LIBRARY_PATH: needed("SAEMILL_FAKE_NVML"), XDG_DATA_HOME: join(this.folder, "xdg") };
    for (const name of ["SAEMILL_SERVER", "SAEMILL_TOKEN", "FAKE_NVML_SCENARIO"]) delete environment[name];
    environment["OMP_WAIT_POLICY"] = "passive"; // ranks that wait for each other share few cores
    if (gpus > 0) environment["FAKE_NVML_SCENARIO"] = join(this.folder, "scenario.json");
    if (script !== undefined)
      environment["FAKE_WORKER_SCRIPT"] = JSON.stringify({
        inspect: INSPECTED, devices: { problem: "", gpus: [] }, checkpoints: { step: null, warnings: [] }, ...script,
      });
    return environment;
  }

  async start(): Promise<this> {
    const { gpus = 0, cpu_slots = gpus > 0 ? 0 : 4, script, period = 0.25 } = this.options;
    const words = ["serve", "--listen", this.listen, "--data", this.data, "--activations", ACTIVATIONS, "--activations", this.folder,
      "--period", String(period), "--cpu-slots", String(cpu_slots), ...(script ? ["--worker", needed("SAEMILL_FAKE_WORKER")] : [])];
    const err = openSync(join(this.folder, "err"), "a");
    // Ended by the kernel when this process ends in any way.
    const started = spawn("setpriv", ["--pdeathsig", "KILL", "--", needed("SAEMILL"), ...words],
      { stdio: ["ignore", "ignore", err], env: this.environment(), cwd: this.folder });
    this.process = started;
    this.url = await eventually(() => this.described(started), 30);
    this.listen = this.url.replace("http://", "");
    this.token = readFileSync(join(this.data, "token"), "utf8").trim();
    await eventually(() => this.get("system/gpus").then(() => true, () => false), 30);
    return this;
  }

  private described(started: ChildProcess): string | null {
    if (started.exitCode !== null) throw new Error(`the server ended with ${started.exitCode}: ${this.log()}`);
    try {
      const { url, pid } = JSON.parse(readFileSync(join(this.data, "server.json"), "utf8")) as { url: string; pid: number };
      return pid === started.pid ? url : null; // a killed one left the file
    } catch {
      return null;
    }
  }

  log(): string {
    return readFileSync(join(this.folder, "err"), "utf8");
  }

  async stop(how: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const ended = this.process;
    this.process = null;
    if (ended === null || ended.exitCode !== null) return;
    const over = new Promise((done) => ended.once("exit", done));
    ended.kill(how);
    await over;
  }

  async ask<Answer>(method: string, target: string, body?: object): Promise<Answer> {
    const answer = await fetch(`${this.url}/api/v1/${target}`, {
      method,
      headers: { Authorization: `Bearer ${this.token}`, ...(body ? { "Content-Type": "application/json" } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${target}: ${answer.status} ${text}`);
    return (text === "" ? null : JSON.parse(text)) as Answer;
  }

  get<Answer>(target: string): Promise<Answer> {
    return this.ask("GET", target);
  }

  post<Answer>(target: string, body: object): Promise<Answer> {
    return this.ask("POST", target, body);
  }

  // Small and real: some 3 ms of one core for a step.
  config({ name = "t", steps = 300, k = 16, checkpoint_every = 0, log_every = 10 } = {}): object {
    return {
      name, activations: { path: ACTIVATIONS }, sae: { d_sae: 512, k }, train: { batch_size: 512, steps, log_every },
      checkpoint: { every_steps: checkpoint_every },
    };
  }

  submit(config: object, more: object = {}): Promise<Training> {
    return this.post("trainings", { config, ...more });
  }

  training(id: string): Promise<Training> {
    return this.get(`trainings/${id}`);
  }

  reach(id: string, ...status: TrainingStatus[]): Promise<Training> {
    return eventually(async () => {
      const now = await this.training(id);
      return status.includes(now.status) ? now : null;
    });
  }

  // To the worker that plays that rank.
  signal_rank(id: string, rank: number, signal: NodeJS.Signals): void {
    const words = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
    const found = processes_of(id).filter((pid) => words(pid).join(" ").includes(`--rank ${rank} `));
    if (found.length !== 1) throw new Error(`rank ${rank} of ${id}: ${found.length} processes`);
    for (const pid of found) process.kill(pid, signal);
  }

  private async cancel_all(): Promise<void> {
    if (this.process === null) return;
    const { data } = await this.get<TrainingList>("trainings?limit=500");
    for (const { id, actions } of data) if (actions.includes("cancel")) await this.post(`trainings/${id}/control`, { action: "cancel" });
    const ids = data.map(({ id }) => id);
    await eventually(() => ids.every((id) => processes_of(id).length === 0), 20).catch(() => undefined);
    for (const pid of ids.flatMap(processes_of)) kill(pid);
  }

  async close(): Promise<void> {
    await this.cancel_all(); // launchers outlive their server
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

// Those that carry its mark.
function processes_of(training: string): number[] {
  const mark = `SAEMILL_TRAINING=${training}`;
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(mark);
    } catch {
      return false;
    }
  }).map(Number);
}
