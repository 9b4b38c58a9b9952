// On which devices: any, which the server chooses, or these.
import type { Device } from "../api/schema";
import { device_name } from "../devices/device_words";
import { bytes, gib } from "../format";
import { use_devices } from "../live/store";
import { Chip } from "../parts/chip";
import { Said } from "../parts/said";
import { Segments } from "../parts/segments";
import { alone_words, by_index, can_toggle, common_model, is_held, missing_memory } from "./devices";
import { device_place, type Errors, type Issue } from "./errors";
import { Messages } from "./field";
import { Holder } from "./holder";
import { Recommended } from "./recommended";
import { change_form, MODES, use_form } from "./state";

interface Props {
  required: number | undefined; // bytes on each device
  issues: Readonly<Record<string, Issue[]>>;
  errors: Errors;
}

function toggle(uuid: string, on: boolean): void {
  use_form.setState(({ gpu_ids }) => ({ gpu_ids: on ? [...gpu_ids, uuid] : gpu_ids.filter((one) => one !== uuid) }));
}

// What the server says, and what would help.
const Issues = ({ issues }: { issues: readonly Issue[] }) =>
  issues.map(({ message, fix, tone }) => (
    <p key={message} className={tone === "error" ? "error" : "warning"}>
      <Said words={message} />. <span className="small">What helps: {fix}.</span>
    </p>
  ));

interface RowProps {
  device: Device;
  model: boolean; // is told: they are of several
  chosen: boolean;
  enabled: boolean;
  alone: string | null; // why it cannot join those that are chosen
  missing: number | undefined;
  issues: readonly Issue[];
  errors: readonly string[];
}

const Row = ({ device, model, chosen, enabled, alone, missing, issues, errors }: RowProps) => {
  const notes = `notes-${device.uuid}`;
  const told_memory = issues.some(({ code }) => code === "memory");
  return (
    <li>
      <label>
        <input type="checkbox" checked={chosen} disabled={!enabled || alone !== null} aria-describedby={notes} aria-invalid={errors.length > 0}
          onChange={(event) => toggle(device.uuid, event.target.checked)} />
        <span>{device_name(device)}</span>
      </label>
      <Chip state={device.availability} />
      <span className="small number">{gib(device.memory_free)} free</span>
      <div id={notes} className="choice-notes">
        {model && <p className="small">{device.name}</p>}
        {(is_held(device) || issues.length === 0) && <p className="small"><Holder device={device} /></p>}
        {enabled && alone !== null && <p className="small">{alone}</p>}
        {missing !== undefined && !told_memory && device.availability === "free" && (
          <p className="warning">{bytes(missing)} of memory are missing.</p>
        )}
        <Issues issues={issues} />
        <Messages id={`${notes}-errors`} errors={errors} />
      </div>
    </li>
  );
};

const Gone = ({ uuid }: { uuid: string }) => (
  <li>
    <label>
      <input type="checkbox" checked onChange={() => toggle(uuid, false)} />
      <span>{uuid}</span>
    </label>
    <span className="error">This machine has no such device.</span>
  </li>
);

function These({ required, issues, errors }: Props) {
  const gpus = use_devices((state) => state.gpus) ?? [];
  const { gpu_ids, busy_too, start } = use_form();
  const waits = start === "queue" && busy_too;
  const model = common_model(gpus);
  const taken = gpus.filter(({ uuid }) => gpu_ids.includes(uuid));
  const gone = gpu_ids.filter((uuid) => !gpus.some((one) => one.uuid === uuid));
  return (
    <>
      {start === "queue" && (
        <label className="check">
          <input type="checkbox" checked={busy_too} onChange={(event) => change_form({ busy_too: event.target.checked })} />
          <span>choose busy ones too (the training waits for them)</span>
        </label>
      )}
      {model !== null && <p className="small">{gpus.length} × {model}</p>}
      <ul className="choices" aria-label="Devices">
        {by_index(gpus).map((device) => {
          const chosen = gpu_ids.includes(device.uuid);
          return (
            <Row key={device.uuid} device={device} model={model === null} chosen={chosen} enabled={can_toggle(device, chosen, waits)}
              alone={alone_words(device, taken)} missing={missing_memory(device, required)}
              issues={issues[device.uuid] ?? []} errors={errors[device_place(device.uuid)] ?? []} />
          );
        })}
        {gone.map((uuid) => <Gone key={uuid} uuid={uuid} />)}
      </ul>
      <Issues issues={issues[""] ?? []} />
    </>
  );
}

export function DeviceChoice(props: Props) {
  const devices = use_form((form) => form.devices);
  const chosen = use_form((form) => form.gpu_ids.length);
  return (
    <section className="card" aria-labelledby="form-devices">
      <div className="section-row">
        <h2 id="form-devices">Devices</h2>
        <Segments label="Which devices" options={MODES} chosen={devices} choose={(mode) => change_form({ devices: mode })}
          {...(chosen > 0 ? { note: (mode: string) => (mode === "these" ? String(chosen) : "") } : {})} />
      </div>
      {devices === "choose for me" ? <Recommended required={props.required} errors={props.errors["device_count"] ?? []} /> : <These {...props} />}
      <Messages id="gpu_ids-errors" errors={props.errors["gpu_ids"] ?? []} />
    </section>
  );
}
