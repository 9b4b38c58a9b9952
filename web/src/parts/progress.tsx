import type { Training } from "../api/schema";
import { progress_words, time_left } from "../training_words";

export function Progress({ training }: { training: Training }) {
  const left = time_left(training);
  return (
    <div
      role="progressbar"
      aria-label={`Progress of ${training.name}`}
      aria-valuenow={Math.round(training.progress)}
      aria-valuetext={progress_words(training)}
    >
      <div className="meter-bar" aria-hidden="true">
        <span className="done" style={{ width: `${training.progress}%` }} />
      </div>
      <span className="small number">
        {progress_words(training)}
        {left && <> · <span className="nowrap">{left}</span></>}
      </span>
    </div>
  );
}
