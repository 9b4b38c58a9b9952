// Its devices, or how many it asks for.
import { useShallow } from "zustand/react/shallow";
import type { Training } from "../api/schema";
import { device_name, short_names } from "../devices/device_words";
import { use_devices } from "../live/store";
import { device_link } from "../router";

interface Named {
  id: string; // uuid or index
  index?: number | undefined; // of one that may be gone
}

export function DeviceNames({ devices }: { devices: readonly Named[] }) {
  const names = use_devices(
    useShallow(({ gpus }) =>
      devices.map(({ id, index }) => {
        const known = gpus?.find((one) => one.uuid === id || String(one.index) === id);
        return known ? device_name(known) : index === undefined ? id : `device ${index}`;
      }),
    ),
  );
  const shown = short_names(names);
  return (
    <span className="device-links">
      {devices.map(({ id }, i) => (
        <a key={id} href={device_link(id)} aria-label={names[i]}>
          {shown[i]}
        </a>
      ))}
    </span>
  );
}

export function DeviceLinks({ training }: { training: Training }) {
  const { gpu_ids, device_uuids, device_count } = training;
  if (gpu_ids.length === 0) return <>{device_count} asked</>;
  const devices = gpu_ids.map((index, i) => ({ index, id: device_uuids[i] ?? String(index) }));
  return <DeviceNames devices={devices.sort((a, b) => a.index - b.index)} />;
}
