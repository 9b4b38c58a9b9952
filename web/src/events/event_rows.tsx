// Events as a list: what, when, about which device and training.
import { memo } from "react";
import type { MachineEvent } from "../api/schema";
import { device_name } from "../devices/device_words";
import { moment } from "../format";
import { ends_of, key_of } from "../live/events_state";
import { use_devices } from "../live/store";
import { Chip } from "../parts/chip";
import { Said } from "../parts/said";
import { TrainingName } from "../parts/training_name";
import { device_link } from "../router";

function DeviceLink({ uuid }: { uuid: string }) {
  const name = use_devices(({ gpus }) => {
    const gpu = gpus?.find((one) => one.uuid === uuid);
    return gpu && device_name(gpu);
  });
  return <a href={device_link(uuid)}>{name ?? "its device"}</a>;
}

interface RowProps {
  event: MachineEvent;
  is_new: boolean;
  ended: string | undefined;
  here: string | undefined;
}

const Row = memo(function Row({ event, is_new, ended, here }: RowProps) {
  return (
    <li className={is_new ? "new" : undefined}>
      <div className="event-head">
        <Chip state={event.over ? "ended" : event.severity} />
        <time className="small number" dateTime={event.time}>
          {moment(event.time)}
        </time>
        {is_new && <b className="small">new</b>}
      </div>
      <p><Said words={event.message} /></p>
      <p className="small event-about">
        {event.device_uuid && event.device_uuid !== here && <DeviceLink uuid={event.device_uuid} />}
        {event.training_id && <TrainingName id={event.training_id} unknown="its training" />}
        {ended && <span>over since {moment(ended)}</span>}
      </p>
    </li>
  );
});

interface Props {
  label: string;
  events: readonly MachineEvent[]; // newest first
  all?: readonly MachineEvent[]; // in which their ends are looked for
  is_new?: (event: MachineEvent) => boolean;
  here?: string; // uuid of the device whose page it is
}

export function EventRows({ label, events, all = events, is_new, here }: Props) {
  const ends = ends_of(all);
  return (
    <ol className="event-rows" aria-label={label} tabIndex={0}>
      {events.map((event) => (
        <Row key={event.id ?? key_of(event)} event={event} is_new={is_new?.(event) ?? false} ended={ends.get(event)} here={here} />
      ))}
    </ol>
  );
}
