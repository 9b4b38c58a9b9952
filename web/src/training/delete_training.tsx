import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { erase } from "../api/client";
import type { Training } from "../api/schema";
import { Confirm } from "../parts/confirm";

export function DeleteTraining({ training }: { training: Training }) {
  const [asking, set_asking] = useState(false);
  const act = useMutation({
    mutationFn: () => erase(`trainings/${encodeURIComponent(training.id)}`),
    onSuccess: () => (location.hash = "#/trainings"),
  });
  return (
    <>
      <button type="button" className="danger" disabled={act.isPending} onClick={() => set_asking(true)}>
        delete
      </button>
      {act.isError && <p role="alert" className="error">{act.error.message}</p>}
      {asking && (
        <Confirm
          question={`Delete ${training.name}?`}
          detail="Its folder is erased: checkpoints, SAE, metrics and logs."
          yes="Yes, delete it"
          answer={(sure) => {
            set_asking(false);
            if (sure) act.mutate();
          }}
        />
      )}
    </>
  );
}
