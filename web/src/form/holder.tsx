// Who has a device, also which processes of others.
import type { Device } from "../api/schema";
import { device_name } from "../devices/device_words";
import { Holding } from "../devices/holder";
import { use_devices } from "../live/store";
import { by_index, is_held, process_words, strangers } from "./devices";

export function Holder({ device }: { device: Device }) {
  const others = strangers(device);
  const is_theirs = device.current_job === undefined && device.availability === "foreign" && others.length > 0;
  return is_theirs ? <>{others.map(process_words).join("; ")}</> : <Holding gpu={device} />;
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
