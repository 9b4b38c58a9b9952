// How many devices, and which ones the server would take now.
import type { Device } from "../api/schema";
import { device_name } from "../devices/device_words";
import { use_devices } from "../live/store";
import { use_recommendation } from "./asking";
import { Said } from "../parts/said";
import { is_held, situation } from "./devices";
import { Messages } from "./field";
import { Holder } from "./holder";
import { change_form, use_form } from "./state";

function count_of(text: string): number | null {
  const count = Number(text);
  return Number.isInteger(count) && count >= 1 ? count : null;
}

function names_of(gpus: readonly Device[], uuids: readonly string[]): string {
  return uuids.map((uuid) => gpus.find((one) => one.uuid === uuid)).map((one) => (one ? device_name(one) : "a device that is gone")).join(", ");
}

export function use_recommended(required: number | undefined) {
  const gpus = use_devices((state) => state.gpus) ?? [];
  const wanted = use_form((form) => (form.devices === "choose for me" ? form.device_count : ""));
  return use_recommendation(wanted === "" || required === undefined ? null : count_of(wanted), required, situation(gpus, required));
}

export function Recommended({ required, errors }: { required: number | undefined; errors: readonly string[] }) {
  const gpus = use_devices((state) => state.gpus) ?? [];
  const wanted = use_form((form) => form.device_count);
  const told = use_recommended(required);
  const best = told?.answer?.choices[0];
  return (
    <>
      <label className="count">
        How many{" "}
        <input type="number" min={1} max={Math.max(1, gpus.length)} step={1} value={wanted} aria-describedby="count-errors"
          aria-invalid={errors.length > 0} onChange={(event) => change_form({ device_count: event.target.value })} />
      </label>
      <Messages id="count-errors" errors={errors} />
      {required === undefined && <p className="small">Which ones is told here once the settings say how much memory they need.</p>}
      {best && (
        <>
          <p>
            Now it would be <b>{names_of(gpus, best.device_uuids)}</b>.
          </p>
          <p className="small reasons">{best.reasons.join("; ")}.</p>
          <button type="button" onClick={() => change_form({ devices: "these", gpu_ids: best.device_uuids })}>
            Choose these
          </button>
        </>
      )}
      {told?.refusal && <Rejected message={told.refusal.message} rejected={told.refusal.rejected} gpus={gpus} />}
    </>
  );
}

// Who holds it is known by name here.
function Why({ gpus, uuid, message }: { gpus: readonly Device[]; uuid: string; message: string }) {
  const device = gpus.find((one) => one.uuid === uuid);
  return device && is_held(device) ? <Holder device={device} /> : <Said words={message} />;
}

function Rejected({ message, rejected, gpus }: { message: string; rejected: readonly { uuid: string; message: string }[]; gpus: readonly Device[] }) {
  return (
    <>
      <p className="warning">Not now: {message}.</p>
      <ul className="reasons small">
        {rejected.map((one) => (
          <li key={one.uuid}>
            {names_of(gpus, [one.uuid])}: <Why gpus={gpus} {...one} />
          </li>
        ))}
      </ul>
    </>
  );
}
