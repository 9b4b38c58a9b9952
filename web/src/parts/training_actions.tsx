// What the server accepts now, as buttons.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { control } from "../api/client";
import type { Training, TrainingAction } from "../api/schema";
import { use_trainings } from "../live/store";
import { with_training } from "../live/trainings_state";
import { offered } from "../training_words";
import { Confirm } from "./confirm";

const SHOWN: TrainingAction[] = ["pause", "resume", "checkpoint", "finish", "retry", "hold", "release", "cancel"];

const QUESTIONS: Partial<Record<TrainingAction, [string, string]>> = {
  cancel: ["It ends at once. What it learned since its last checkpoint is lost.", "Yes, cancel it"],
  finish: ["It ends after the step it is at, and its SAE is written.", "Yes, finish it"],
};

// `shown`: those of SHOWN that there is room for.
export function TrainingActions({ training, shown = SHOWN }: { training: Training; shown?: readonly TrainingAction[] }) {
  const queries = useQueryClient();
  const [asking, set_asking] = useState<TrainingAction | null>(null);
  const act = useMutation({
    mutationFn: async (action: TrainingAction) => {
      const asked_at = Date.now();
      const answer = await control(training.id, action);
      use_trainings.setState((state) => with_training(state, answer, asked_at));
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["trainings", training.id] }),
  });
  const question = asking === null ? undefined : QUESTIONS[asking];
  return (
    <>
      <div className="buttons" role="group" aria-label={`Actions on ${training.name}`}>
        {shown.filter((action) => offered(training).includes(action)).map((action) => (
          <button
            key={action}
            type="button"
            className={action === "cancel" ? "danger" : undefined}
            disabled={act.isPending}
            onClick={() => (QUESTIONS[action] ? set_asking(action) : act.mutate(action))}
          >
            {action}
          </button>
        ))}
      </div>
      {act.isError && (
        <p role="alert" className="error">
          {act.error.message}
        </p>
      )}
      {asking !== null && question !== undefined && (
        <Confirm
          question={`${asking === "cancel" ? "Cancel" : "Finish"} ${training.name}?`}
          detail={question[0]}
          yes={question[1]}
          answer={(sure) => {
            set_asking(null);
            if (sure) act.mutate(asking);
          }}
        />
      )}
    </>
  );
}
