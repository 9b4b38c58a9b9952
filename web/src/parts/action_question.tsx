// What is asked before an action that cannot be taken back.
import type { TrainingAction } from "../api/schema";
import { Confirm } from "./confirm";

type Action = TrainingAction | "delete";

const COSTS: Partial<Record<Action, string>> = {
  cancel: "Training ends at once. What was learned since the last checkpoint is lost.",
  finish: "Training ends after the step it is at, and the SAE is written.",
  delete: "Erased are the checkpoints, the SAE, the metrics and the logs.",
};

export function is_asked_first(action: Action): boolean {
  return COSTS[action] !== undefined;
}

interface Props {
  action: Action;
  what: string; // "run 3", "4 trainings"
  many?: boolean;
  answer: (sure: boolean) => void;
}

export function ActionQuestion({ action, what, many = false, answer }: Props) {
  const title = `${action.charAt(0).toUpperCase()}${action.slice(1)} ${what}?`;
  return <Confirm question={title} detail={COSTS[action] ?? ""} yes={`Yes, ${action} ${many ? what : "it"}`} answer={answer} />;
}
