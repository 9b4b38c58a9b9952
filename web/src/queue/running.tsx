// What holds devices now, briefly.
import type { Training } from "../api/schema";
import { Chip } from "../parts/chip";
import { Progress } from "../parts/progress";
import { training_link } from "../router";
import { DeviceLinks } from "../trainings/device_links";

export function Running({ trainings }: { trainings: Training[] }) {
  return (
    <ul className="running">
      {trainings.map((training) => (
        <li key={training.id} className="card">
          <div className="running-head">
            <a href={training_link(training.id)}>{training.name}</a>
            <Chip state={training.status} />
          </div>
          <div className="running-devices number">
            <DeviceLinks training={training} />
          </div>
          <Progress training={training} />
        </li>
      ))}
    </ul>
  );
}
