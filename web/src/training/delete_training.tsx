import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { Training } from "../api/schema";
import { delete_training } from "../live/trainings";
import { ActionQuestion } from "../parts/action_question";

export function DeleteTraining({ training }: { training: Training }) {
  const [asking, set_asking] = useState(false);
  const act = useMutation({
    mutationFn: () => delete_training(training.id),
    onSuccess: () => (location.hash = "#/trainings"),
  });
  return (
    <>
      <button type="button" className="danger" disabled={act.isPending} onClick={() => set_asking(true)}>
        delete
      </button>
      {act.isError && <p role="alert" className="error">{act.error.message}</p>}
      {asking && (
        <ActionQuestion
          action="delete"
          what={training.name}
          answer={(sure) => {
            set_asking(false);
            if (sure) act.mutate();
          }}
        />
      )}
    </>
  );
}
