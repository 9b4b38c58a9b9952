// REST: JSON in and out. Without a session the sign-in page takes over.
import type { FieldError, Problem, RejectedDevice } from "./schema";

export class Refusal extends Error {
  // What exactly is wrong, of a form's fields or of a search for devices.
  readonly errors: readonly FieldError[];
  readonly rejected: readonly RejectedDevice[];

  constructor(readonly problem: Pick<Problem, "status" | "code" | "detail"> & { errors?: FieldError[]; rejected?: RejectedDevice[] }) {
    super(problem.detail);
    this.errors = problem.errors ?? [];
    this.rejected = problem.rejected ?? [];
  }
}

async function refusal(answer: Response): Promise<Refusal> {
  if (answer.status === 401) location.replace("/login");
  const problem = (await answer.json().catch(() => null)) as Problem | null;
  return new Refusal(problem ?? { status: answer.status, code: "internal", detail: `The server answered ${answer.status}.` });
}

async function asked(path: string, options?: RequestInit): Promise<Response> {
  const answer = await fetch(`/api/v1/${path}`, options);
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

export async function get<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
  return (await (await asked(path, signal ? { signal } : undefined)).json()) as Answer;
}

export async function post<Answer>(path: string, body: object, signal?: AbortSignal, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await asked(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
  return (await answer.json()) as Answer;
}

export interface LogPart {
  text: string;
  next: number; // the offset of what comes after it
}

export async function get_log_part(path: string): Promise<LogPart> {
  const answer = await asked(path);
  return { text: await answer.text(), next: Number(answer.headers.get("X-Next-Offset")) };
}

export async function erase(path: string): Promise<void> {
  await asked(path, { method: "DELETE" });
}

export function path_of(...parts: string[]): string {
  return parts.map(encodeURIComponent).join("/");
}

export function file_link(...parts: string[]): string {
  return `/api/v1/${path_of(...parts)}`;
}

export function message_of(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
