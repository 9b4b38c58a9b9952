// REST: JSON in and out. Without a session the sign-in page takes over.
import type { Problem, Training, TrainingAction } from "./schema";

export class Refusal extends Error {
  constructor(readonly problem: Pick<Problem, "status" | "code" | "detail">) {
    super(problem.detail);
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

export async function get<Answer>(path: string): Promise<Answer> {
  return (await (await asked(path)).json()) as Answer;
}

export async function get_text(path: string): Promise<string> {
  return await (await asked(path)).text();
}

export async function control(id: string, action: TrainingAction): Promise<Training> {
  const answer = await asked(`trainings/${encodeURIComponent(id)}/control`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ action }),
  });
  return (await answer.json()) as Training;
}

export function file_link(...parts: string[]): string {
  return `/api/v1/${parts.map(encodeURIComponent).join("/")}`;
}
