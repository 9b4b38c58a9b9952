import type { Training } from "../api/schema";
import { use_trainings } from "../live/store";
import { use_live_progress, use_training_list } from "../live/trainings";
import { Apart, Line } from "../queue/line";
import { Running } from "../queue/running";
import { use_queue } from "../queue/use_queue";
import { new_link, use_title } from "../router";
import { is_active } from "../training_words";
import "../styles/queue.css";

// One may have none for a while, as it waits to be finished.
const first_device = ({ gpu_ids }: Training) => (gpu_ids.length === 0 ? Number.MAX_SAFE_INTEGER : Math.min(...gpu_ids));

export function QueuePage() {
  use_title("Queue");
  const list = use_training_list();
  const queue = use_queue();
  const running = Object.values(use_trainings((state) => state.by_id))
    .filter(is_active)
    .sort((a, b) => first_device(a) - first_device(b) || a.id.localeCompare(b.id));
  use_live_progress(running.map(({ id }) => id).sort().join(" "));
  const { line, held, paused, refused } = queue;
  const refused_is_shown = [...line, ...held, ...paused].some(({ id }) => id === refused?.id);
  return (
    <article className="queue-page" aria-labelledby="title">
      <div className="title-row">
        <h1 id="title">Queue</h1>
        <a href={new_link()}>New training</a>
      </div>
      {list.isError && <p role="alert" className="error">{list.error.message}</p>}
      {list.isPending && <p>Loading …</p>}
      <section aria-labelledby="running">
        <h2 id="running">Running ({running.length})</h2>
        {running.length > 0 ? <Running trainings={running} /> : <p className="small">Nothing runs.</p>}
      </section>
      <section aria-labelledby="waiting">
        <h2 id="waiting">Waiting ({line.length})</h2>
        <p className="small">
          The scheduler goes through it from the top: by priority, of equal ones the earlier first. One that fits starts before those above it where
          they lose nothing by that.
        </p>
        <p role="status" className="told">
          {queue.told}
        </p>
        {refused !== null && !refused_is_shown && <p role="alert" className="error">{refused.name}: {refused.message}</p>}
        {line.length > 0 ? <Line trainings={line} queue={queue} caption="Waiting, in order" /> : <p className="small">Nothing waits.</p>}
      </section>
      {held.length > 0 && (
        <section aria-labelledby="held">
          <h2 id="held">Held ({held.length})</h2>
          <Apart trainings={held} queue={queue} caption="Held until somebody releases them" />
        </section>
      )}
      {paused.length > 0 && (
        <section aria-labelledby="paused">
          <h2 id="paused">Paused ({paused.length})</h2>
          <Apart trainings={paused} queue={queue} caption="Paused until somebody resumes them" />
        </section>
      )}
    </article>
  );
}
