// What the devices of a training did meanwhile: on the axis of its metrics.
import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import type { History, Training } from "../api/schema";
import type { ChartGroup } from "../charts/group";
import { curve_look } from "../charts/looks";
import type { PlotMarker } from "../charts/markers";
import { Plot, type PlotCurve } from "../charts/plot";
import { device_name } from "../devices/device_words";
import { get_history, server_time, use_is_live } from "../devices/history";
import { bytes, percent, rounded } from "../format";
import { KEPT_S, type Measured } from "../live/devices_state";
import { use_devices } from "../live/store";
import { is_active } from "../training_words";
import { by_step, measurements } from "./device_columns";
import type { RunDevice } from "./run_events";
import type { Clock } from "./times";

interface DeviceFigure {
  field: Measured;
  title: string;
  help: string;
  unit?: string;
  format: (value: number) => string;
  most?: number;
  binary?: boolean;
}

const FIGURES: DeviceFigure[] = [
  {
    field: "utilization", title: "Utilization", help: "Share of time in which any kernel ran; of a CPU slot: of its cores",
    unit: "%", format: percent, most: 100,
  },
  {
    field: "memory_used", title: "Memory in use", help: "Of all processes on the device; of a CPU slot: what its rank holds",
    format: bytes, binary: true,
  },
  { field: "power_draw", title: "Power", help: "As the driver reads it", unit: "W", format: (value) => rounded(value, "W") },
  { field: "temperature", title: "Temperature", help: "As the driver reads it", unit: "°C", format: (value) => rounded(value, "°C") },
];
const BUCKETS = 600;
// Live samples are kept for a while; before they are gone, the history has them.
const READ_AGAIN_MS = (KEPT_S * 1000) / 2;

interface Answer {
  history: History;
  asked_at: number; // epoch seconds of the server
}

function use_histories(training: Training, devices: readonly RunDevice[]): { answers: Answer[]; pending: boolean; problem: string | undefined } {
  const active = is_active(training);
  const is_live = use_is_live();
  const from = training.started_at;
  const to = training.completed_at;
  const found = useQueries({
    queries: devices.map(({ uuid }) => ({
      queryKey: ["history", uuid, training.id, from, to, active],
      queryFn: async (): Promise<Answer> => {
        // Whole seconds, at least one.
        const since = Math.floor(Date.parse(from as string) / 1000);
        const until = to && Math.ceil(Date.parse(to) / 1000) + 1;
        const asked_at = to ? Date.parse(to) / 1000 : server_time();
        const fields = FIGURES.map(({ field }) => field);
        return { history: await get_history(uuid, { from: since, to: until || undefined, buckets: BUCKETS, fields }), asked_at };
      },
      enabled: is_live && from !== undefined,
      refetchInterval: active ? READ_AGAIN_MS : (false as const),
      retry: false,
    })),
  });
  const problem = found.find(({ error }) => error !== null)?.error?.message;
  const pending = found.some(({ isLoading }) => isLoading);
  return { answers: found.flatMap(({ data }) => (data === undefined ? [] : [data])), pending, problem };
}

const NO_SAMPLES: never[] = [];

interface Props {
  training: Training;
  devices: readonly RunDevice[];
  clock: Clock;
  group: ChartGroup;
  markers: PlotMarker[];
  extent: readonly [number, number] | undefined;
}

export function DeviceFigures({ training, devices, clock, group, markers, extent }: Props) {
  const { answers, pending, problem } = use_histories(training, devices);
  const samples = use_devices((state) => state.samples);
  const known = use_devices((state) => state.last);
  const active = is_active(training);
  const tables = useMemo(() => {
    const histories = answers.map(({ history }) => history);
    const news = histories.map(({ uuid }) => (active ? (samples[uuid] ?? NO_SAMPLES) : NO_SAMPLES));
    const asked_at = Math.max(0, ...answers.map((answer) => answer.asked_at));
    return FIGURES.map(({ field }) => {
      const table = measurements(histories, news, field, training.id, asked_at);
      return group.axis === "step" ? by_step(table, clock) : table;
    });
  }, [answers.map(({ asked_at }) => asked_at).join(), samples, active, training.id, group, clock]);
  const called = ({ uuid, name }: RunDevice) => {
    const device = known[uuid];
    return device === undefined ? name : device_name(device);
  };
  const labels = answers.map(({ history: { uuid } }) => called(devices.find((one) => one.uuid === uuid) ?? { uuid, name: uuid }));
  const drawn = tables.map(({ columns }) =>
    columns.flatMap((one, i): PlotCurve[] => {
      const measured = one.mean.some((value) => value !== null);
      return measured ? [{ label: labels[i] ?? "", ...curve_look(i), ...one }] : [];
    }),
  );
  if (drawn.every((curves) => curves.length === 0)) {
    if (problem !== undefined) return <p role="alert" className="error">{problem}</p>;
    return <p className="small">{pending ? "Loading …" : "Nothing was measured of its devices."}</p>;
  }
  return (
    <div className="charts">
      {FIGURES.map(({ field, most, ...words }, i) => {
        const curves = drawn[i] ?? [];
        if (curves.length === 0) return null;
        return (
          <Plot key={field} legend {...words} group={group} x={tables[i]?.x ?? []} curves={curves} markers={markers}
            y_min_zero={field !== "temperature"} {...(most !== undefined && { y_max: most })} {...(extent && { extent })} />
        );
      })}
    </div>
  );
}
