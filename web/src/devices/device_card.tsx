import { memo } from "react";
import type { Device } from "../api/schema";
import { ABSENT, gib, percent, rounded, share, uuid_tail } from "../format";
import { memory_parts } from "../live/devices_state";
import { use_devices } from "../live/store";
import { Chip } from "../parts/chip";
import { Meter } from "../parts/meter";
import { device_link } from "../router";
import { device_name, power_words, throttle_words } from "./device_words";
import { Holding } from "./holder";
import { recent_points } from "./points";
import { Sparkline } from "./sparkline";

const TOLD_BYTES = 2 ** 30 / 20; // less would be told as 0.0 GiB

export function Owner({ gpu }: { gpu: Device }) {
  if (gpu.current_job === undefined && gpu.availability === "free") return null;
  return (
    <p className="reason">
      <Holding gpu={gpu} />
    </p>
  );
}

export function Memory({ gpu }: { gpu: Device }) {
  const parts = memory_parts(gpu);
  if (parts === null) return <Meter label="Memory" text={ABSENT} parts={[]} />;
  const of_total = (bytes: number) => share(bytes, gpu.memory_total) ?? 0;
  const worth_telling = ([, bytes]: [string, number]) => bytes >= TOLD_BYTES;
  const held: [string, number][] = [["ours", parts.ours], ["others", parts.others], ["driver", parts.reserved]];
  const words = [...held.filter(worth_telling), ["free", parts.free] as const].map(([name, bytes]) => `${name} ${gib(bytes)}`);
  return (
    <>
      <Meter
        label="Memory"
        text={`${gib(gpu.memory_used)} of ${gib(gpu.memory_total)}`}
        parts={(["ours", "others", "reserved"] as const).map((name) => ({ name, percent: of_total(parts[name]) }))}
      />
      <p className="small">{words.join(" · ")}</p>
    </>
  );
}

const Facts = ({ gpu }: { gpu: Device }) => (
  <dl className="facts">
    <div>
      <dt>Temperature</dt>
      <dd>{rounded(gpu.temperature, "°C")}</dd>
    </div>
    <div>
      <dt>Power</dt>
      <dd>{power_words(gpu)}</dd>
    </div>
    <div>
      <dt>Throttle</dt>
      <dd>{throttle_words(gpu)}</dd>
    </div>
  </dl>
);

export const DeviceCard = memo(function DeviceCard({ gpu }: { gpu: Device }) {
  const samples = use_devices((state) => state.samples[gpu.uuid]);
  const now = use_devices((state) => state.now);
  return (
    <li className="card device">
      <div className="device-head">
        <h2>
          <a href={device_link(gpu.uuid)}>{device_name(gpu)}</a>
        </h2>
        <Chip state={gpu.availability} />
      </div>
      <p className="small">
        {gpu.name} <span title={gpu.uuid}>{uuid_tail(gpu.uuid)}</span>
      </p>
      <Owner gpu={gpu} />
      <Meter label="Utilization" text={percent(gpu.utilization)} parts={[{ name: "busy", percent: Math.min(100, gpu.utilization ?? 0) }]} />
      <Sparkline points={recent_points(samples, "utilization", now)} now={now} most={100} />
      <Memory gpu={gpu} />
      {gpu.kind === "gpu" && <Facts gpu={gpu} />}
    </li>
  );
});
