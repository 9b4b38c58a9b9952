// Its devices, or how many it asks for.
import type { Training } from "../api/schema";
import { device_link } from "../router";
import { devices_words } from "../training_words";

export function DeviceLinks({ training }: { training: Training }) {
  if (training.gpu_ids.length === 0) return <>{devices_words(training)}</>;
  const devices = training.gpu_ids.map((index, i) => ({ index, uuid: training.device_uuids[i] ?? String(index) }));
  return (
    <span className="device-links">
      {devices
        .sort((a, b) => a.index - b.index)
        .map(({ index, uuid }) => (
          <a key={uuid} href={device_link(uuid)} aria-label={`Device ${index}`}>
            {index}
          </a>
        ))}
    </span>
  );
}
