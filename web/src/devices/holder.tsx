import type { Device } from "../api/schema";
import { Said } from "../parts/said";
import { TrainingName } from "../parts/training_name";

// Who has it, or why it cannot be had.
export function Holding({ gpu: { current_job, availability, reason } }: { gpu: Device }) {
  if (current_job) return <>held by <TrainingName id={current_job} /></>;
  return availability === "free" ? null : <Said words={reason.message} />;
}
