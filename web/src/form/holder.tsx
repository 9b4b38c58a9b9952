// Who has a device, or why it cannot be had.
import type { Device } from "../api/schema";
import { device_name } from "../devices/device_words";
import { use_devices, use_trainings } from "../live/store";
import { training_link } from "../router";
import { by_index, is_held, process_words, strangers } from "./devices";

export function Holder({ device }: { device: Device }) {
  const job = device.current_job;
  const name = use_trainings((state) => (job ? state.by_id[job]?.name : undefined));
  if (job) return <>held by <a href={training_link(job)}>{name ?? job}</a></>;
  const others = strangers(device);
  if (device.availability === "foreign" && others.length > 0) return <>{others.map(process_words).join("; ")}</>;
  return device.availability === "free" ? null : <>{device.reason.message}</>;
}

// Of these devices, or of all of the machine.
export function Holders({ uuids }: { uuids: readonly string[] | null }) {
  const gpus = use_devices((state) => state.gpus) ?? [];
  const held = by_index(gpus).filter((one) => is_held(one) && (uuids === null || uuids.includes(one.uuid)));
  return (
    <ul className="reasons small">
      {held.map((device) => (
        <li key={device.uuid}>
          {device_name(device)}: <Holder device={device} />
        </li>
      ))}
    </ul>
  );
}
