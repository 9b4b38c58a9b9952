import { use_trainings } from "../live/store";
import { training_link } from "../router";

// A link to a training of which only the id is known here.
export function TrainingName({ id, unknown = id }: { id: string; unknown?: string }) {
  const name = use_trainings((state) => state.by_id[id]?.name);
  return <a href={training_link(id)}>{name ?? unknown}</a>;
}
