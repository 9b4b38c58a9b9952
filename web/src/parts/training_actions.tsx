// What the server accepts now, as buttons.
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { Training, TrainingAction } from "../api/schema";
import { control, load_training } from "../live/trainings";
import { offered } from "../training_words";
import { ActionQuestion, is_asked_first } from "./action_question";

const SHOWN: TrainingAction[] = ["pause", "resume", "checkpoint", "finish", "retry", "hold", "release", "cancel"];

// `shown`: those of SHOWN that there is room for.
export function TrainingActions({ training, shown = SHOWN }: { training: Training; shown?: readonly TrainingAction[] }) {
  const [asking, set_asking] = useState<TrainingAction | null>(null);
  const act = useMutation({
    mutationFn: (action: TrainingAction) => control(training.id, action),
    // What is refused was offered by a state that is over.
    onError: () => load_training(training.id).catch(() => undefined),
  });
  return (
    <>
      <div className="buttons" role="group" aria-label={`Actions on ${training.name}`}>
        {shown.filter((action) => offered(training).includes(action)).map((action) => (
          <button
            key={action}
            type="button"
            className={action === "cancel" ? "danger" : undefined}
            disabled={act.isPending}
            onClick={() => (is_asked_first(action) ? set_asking(action) : act.mutate(action))}
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
      {asking !== null && (
        <ActionQuestion
          action={asking}
          what={training.name}
          answer={(sure) => {
            set_asking(null);
            if (sure) act.mutate(asking);
          }}
        />
      )}
    </>
  );
}
