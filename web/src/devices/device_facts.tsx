// What there is to know about one device, beside its curves.
import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { Device, DeviceProcess, Server } from "../api/schema";
import { ABSENT, bytes, count, gib, percent, rounded, uuid_tail } from "../format";
import { use_devices } from "../live/store";
import { TableHead } from "../parts/table_head";
import { TrainingName } from "../parts/training_name";
import { device_link } from "../router";
import { device_name, power_words, throttle_words } from "./device_words";

type Fact = readonly [name: string, value: string];

const rate = (value: number | undefined) => (value === undefined ? ABSENT : `${bytes(Math.round(value))}/s`);

function ecc_facts({ ecc }: Device): Fact[] {
  const rows = ecc?.remap_failure ? "a row could not be replaced" : ecc?.remap_pending ? "a row waits for a reset" : "none waiting";
  return [
    ["ECC errors corrected", count(ecc?.corrected)],
    ["ECC errors uncorrected", count(ecc?.uncorrected)],
    ["Rows replaced, corrected", count(ecc?.remapped_corrected)],
    ["Rows replaced, uncorrected", count(ecc?.remapped_uncorrected)],
    ["Replacement of rows", ecc?.remap_pending === undefined ? ABSENT : rows],
  ];
}

function gpu_facts(gpu: Device, driver: string | undefined): Fact[] {
  return [
    ["PCI", gpu.pci_bus_id ?? ABSENT],
    ["Driver", driver || ABSENT],
    ["Compute mode", gpu.compute_mode?.replaceAll("_", " ") ?? ABSENT],
    ["Persistence mode", gpu.persistence_mode === undefined ? ABSENT : gpu.persistence_mode ? "on" : "off"],
    ["Temperature", rounded(gpu.temperature, "°C")],
    ["Fan", percent(gpu.fan_speed)],
    ["Power", power_words(gpu)],
    ["Throttled by", throttle_words(gpu)],
    ["Clock, SM", rounded(gpu.clocks?.sm, "MHz")],
    ["Clock, memory", rounded(gpu.clocks?.memory, "MHz")],
    ["PCIe, sent", rate(gpu.pcie?.tx)],
    ["PCIe, received", rate(gpu.pcie?.rx)],
    ["NVLink, sent", rate(gpu.nvlink?.tx)],
    ["NVLink, received", rate(gpu.nvlink?.rx)],
    ["Last XID", gpu.last_xid === undefined ? "none" : String(gpu.last_xid)],
    ...ecc_facts(gpu),
  ];
}

export function DeviceFacts({ gpu }: { gpu: Device }) {
  const server = useQuery({ queryKey: ["server"], queryFn: () => get<Server>("server"), enabled: gpu.kind !== "cpu" });
  const parent = use_devices((state) => state.gpus?.find(({ uuid }) => uuid === gpu.parent_uuid));
  const all: Fact[] = [
    ["Model", gpu.name],
    ["Index", String(gpu.index)],
    ["UUID", gpu.uuid],
    ...(gpu.kind === "cpu" ? [] : gpu_facts(gpu, server.data?.driver?.driver_version)),
  ];
  // Most of it is known of the whole GPU only, to which there is a link.
  const facts = gpu.kind === "mig" ? all.filter(([, value]) => value !== ABSENT) : all;
  return (
    <dl className="device-facts">
      {facts.map(([name, value]) => (
        <div key={name} className={value.length > 24 ? "long" : undefined}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
      {gpu.parent_uuid && (
        <div>
          <dt>Part of</dt>
          <dd>
            <a href={device_link(gpu.parent_uuid)}>{parent ? device_name(parent) : uuid_tail(gpu.parent_uuid)}</a>
          </dd>
        </div>
      )}
    </dl>
  );
}

const ProcessRow = ({ process: { pid, user, command, memory_used, training_id } }: { process: DeviceProcess }) => (
  <tr>
    <th scope="row" className="number">
      {pid}
    </th>
    <td data-label="User">{user ?? ABSENT}</td>
    <td data-label="Command" className="command">
      {command ?? ABSENT}
    </td>
    <td data-label="Memory" className="number">
      {gib(memory_used)}
    </td>
    <td data-label="Training">{training_id ? <TrainingName id={training_id} /> : ABSENT}</td>
  </tr>
);

export function Processes({ gpu }: { gpu: Device }) {
  const { processes } = gpu;
  return (
    <section className="card" aria-labelledby="processes">
      <h2 id="processes">Processes</h2>
      {processes === undefined && <p className="small">The processes of this device cannot be listed.</p>}
      {processes?.length === 0 && <p className="small">No process uses it.</p>}
      {processes && processes.length > 0 && (
        <table className="processes">
          <caption className="hidden">Processes on {device_name(gpu)}</caption>
          <TableHead names={["PID", "User", "Command", "Memory", "Training"]} />
          <tbody>
            {processes.map((process) => (
              <ProcessRow key={process.pid} process={process} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
