// What the training will take of each device, and how long.
import type { Device, Estimate } from "../api/schema";
import { device_name } from "../devices/device_words";
import { ABSENT, bytes, count, duration, share } from "../format";
import { missing_memory } from "./devices";
import { batch_words, type Segment, segments_of, speed_words, whole_time } from "./estimate";

interface Props {
  estimate: Estimate | null;
  devices: readonly Device[]; // on which it would be; empty: not known
  steps: number | undefined;
  epoch: number | undefined; // steps
  size: number; // trainings of the group
}

function fit_words(device: Device, required: number): string {
  const missing = missing_memory(device, required);
  if (device.memory_free === undefined) return "its free memory is not known";
  return missing === undefined ? `fits in ${bytes(device.memory_free)}` : `${bytes(missing)} missing of ${bytes(required)}`;
}

// The bar is what is free, or what is needed where that is more: then a line shows where the memory ends.
function Bar({ device, required, segments }: { device: Device; required: number; segments: readonly Segment[] }) {
  const free = device.memory_free ?? required;
  const whole = Math.max(free, required);
  const misses = missing_memory(device, required) !== undefined;
  return (
    <li>
      <div className="meter-text">
        <span>{device_name(device)}</span>
        <span className={misses ? "error number" : "number"}>{fit_words(device, required)}</span>
      </div>
      <div className="meter-bar memory-bar" aria-hidden="true">
        {device.memory_free !== undefined && segments.map(({ part, bytes: size }) => (
          <span key={part} className={`part-${part}`} style={{ width: `${share(size, whole) ?? 0}%` }} />
        ))}
        {misses && <i style={{ left: `${share(free, whole) ?? 0}%` }} />}
      </div>
    </li>
  );
}

interface MemoryProps {
  required: number;
  devices: readonly Device[];
  segments: readonly Segment[];
  assumed: boolean; // what a process holds
}

const Memory = ({ required, devices, segments, assumed }: MemoryProps) => (
  <>
    <h3>Memory: {bytes(required)} on each device</h3>
    <ul className="memory-bars">
      {devices.map((device) => <Bar key={device.uuid} device={device} required={required} segments={segments} />)}
    </ul>
    <ul className="breakdown small">
      {segments.map(({ part, words, bytes: size }) => (
        <li key={part}>
          <span className={`swatch part-${part}`} aria-hidden="true" />
          <span>{words}</span> <span className="number">{bytes(size)}</span>
        </li>
      ))}
    </ul>
    {assumed && <p className="small">What a process holds besides the training is assumed: it was not yet measured on this machine.</p>}
  </>
);

export function EstimateCard({ estimate, devices, steps, epoch, size }: Props) {
  const first = estimate?.devices[0];
  if (!estimate || !first)
    return (
      <section className="card" aria-labelledby="estimate">
        <h2 id="estimate">Estimate</h2>
        <p className="small">Memory, batch and time are told here once the activations are known and the settings are right.</p>
      </section>
    );
  const facts: [string, string][] = [
    ["Batch", batch_words(estimate)],
    ["Steps", steps === undefined ? `${ABSENT} (no end is given yet)` : count(steps)],
    ["One epoch", epoch === undefined ? ABSENT : `${count(epoch)} ${epoch === 1 ? "step" : "steps"}`],
    ["Speed", speed_words(estimate)],
    [size > 1 ? "Each training" : "Whole run", duration(whole_time(steps, estimate.batch.global, estimate))],
  ];
  return (
    <section className="card" aria-labelledby="estimate">
      <h2 id="estimate">Estimate</h2>
      {size > 1 && <p className="small">Of the largest of the {size} trainings.</p>}
      <Memory required={first.memory_required} devices={devices} segments={segments_of(first.breakdown)}
        assumed={estimate.context_measured === false} />
      <dl className="estimate-facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd className="number">{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
