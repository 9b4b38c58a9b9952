// Devices by time, for machines of which a card for each is too much to see at once.
import { useEffect, useMemo, useState } from "react";
import type { Device } from "../api/schema";
import { clock_of, gib, percent, rounded } from "../format";
import { use_kept } from "../kept";
import type { DevicesState } from "../live/devices_state";
import { use_devices } from "../live/store";
import { Shape } from "../parts/chip";
import { Segments } from "../parts/segments";
import { TableHead } from "../parts/table_head";
import { device_link } from "../router";
import { device_name } from "./device_words";
import { type Cell, COLUMN_S, first_column, type Heat, heat_now, heat_row, heat_scale, heat_words, HEATS } from "./heat";
import { HeatCanvas } from "./heat_canvas";

const CALM_MS = 1000;
const KEY = "saemill-heat";

// At most once a second.
function use_calm_devices(): DevicesState {
  const [state, set_state] = useState(use_devices.getState);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = use_devices.subscribe(() => {
      timer ??= setTimeout(() => {
        timer = undefined;
        set_state(use_devices.getState());
      }, CALM_MS);
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, []);
  return state;
}

function Values({ gpus }: { gpus: readonly Device[] }) {
  return (
    <div className="hidden">
      <table>
        <caption>Devices now</caption>
        <TableHead names={["Device", "State", "Utilization", "Memory", "Temperature", "Power"]} />
        <tbody>
          {gpus.map((gpu) => (
            <tr key={gpu.uuid}>
              <th scope="row">{device_name(gpu)}</th>
              <td>{gpu.availability}</td>
              <td>{percent(gpu.utilization)}</td>
              <td>{gib(gpu.memory_used)}</td>
              <td>{rounded(gpu.temperature, "°C")}</td>
              <td>{rounded(gpu.power_draw, "W")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Rows({ gpus, heat }: { gpus: readonly Device[]; heat: Heat }) {
  return (
    <ul className="heat-rows">
      {gpus.map((gpu) => (
        <li key={gpu.uuid}>
          <a href={device_link(gpu.uuid)} title={`${gpu.name}: ${gpu.availability}`}>
            <Shape state={gpu.availability} />
            {device_name(gpu)}
            <span className="hidden">, {gpu.availability}</span>
          </a>
          <span className="number small">{heat_words(heat, heat_now(heat, gpu))}</span>
        </li>
      ))}
    </ul>
  );
}

// The cell is held by its time, so that it goes along with what it shows.
interface Pointed {
  uuid: string;
  time: number;
}

function use_pointed(gpus: readonly Device[], first: number): [Cell | null, (cell: Cell | null) => void] {
  const [pointed, set_pointed] = useState<Pointed | null>(null);
  const row = gpus.findIndex(({ uuid }) => uuid === pointed?.uuid);
  const column = pointed === null ? -1 : Math.round((pointed.time - first) / COLUMN_S);
  const cell = useMemo(() => (row >= 0 && column >= 0 ? { row, column } : null), [row, column]);
  const point = (next: Cell | null) => {
    const gpu = next && gpus[next.row];
    set_pointed(gpu ? { uuid: gpu.uuid, time: first + next.column * COLUMN_S } : null);
  };
  return [cell, point];
}

const clock = (time: number) => clock_of(new Date(1000 * time), true);

export function HeatMap() {
  const { gpus: known, samples, now } = use_calm_devices();
  const gpus = known ?? [];
  const [heat, choose] = use_kept<Heat>(KEY, HEATS, "Utilization");
  const first = first_column(now);
  const [cell, point] = use_pointed(gpus, first);
  const rows = useMemo(() => gpus.map((gpu) => heat_row(heat, gpu, samples[gpu.uuid] ?? [], first)), [heat, known, samples, first]);
  const scale = useMemo(() => heat_scale(heat, gpus), [heat, known]);
  const gpu = cell && gpus[cell.row];
  return (
    <section className="card heat" aria-labelledby="heat-title">
      <div className="heat-head">
        <h2 id="heat-title">The last 15 minutes</h2>
        <Segments label="Heat map of" options={HEATS} chosen={heat} choose={choose} />
        <p className="small heat-legend">
          <span className="heat-none" aria-hidden="true" />
          <span className="heat-none-word">not measured</span>
          <span className="number">{heat_words(heat, scale.least)}</span>
          <span className="heat-scale" aria-hidden="true" />
          <span className="number">{heat_words(heat, scale.greatest)}</span>
        </p>
      </div>
      <div className="heat-body">
        <Rows gpus={gpus} heat={heat} />
        <HeatCanvas label={`${heat} of ${gpus.length} devices over the last 15 minutes; the arrow keys go from cell to cell`}
          rows={rows} scale={scale} cell={cell} point={point} />
        <p className="small heat-axis" aria-hidden="true">
          {[15, 10, 5].map((minutes) => (
            <span key={minutes}>{minutes} min ago</span>
          ))}
          <span>now</span>
        </p>
      </div>
      <p id="heat-readout" role="status" className="small number heat-readout">
        {gpu && cell
          ? `${device_name(gpu)}, ${clock(first + cell.column * COLUMN_S)}: ${heat_words(heat, rows[cell.row]?.[cell.column])}`
          : "Point at a cell, or use the arrow keys."}
      </p>
      <Values gpus={gpus} />
    </section>
  );
}
