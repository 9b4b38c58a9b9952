// The curves of one device, of what it has measured.
import { useMemo } from "react";
import type { Device } from "../api/schema";
import type { ChartGroup } from "../charts/group";
import { curve_look } from "../charts/looks";
import type { PlotMarker } from "../charts/markers";
import { Plot } from "../charts/plot";
import { bytes } from "../format";
import { type DeviceSeries, divided, type Field, is_measured, rate_unit } from "./device_series";

interface Chart {
  title: string;
  help: string;
  fields: readonly (readonly [field: Field, label: string])[];
  unit: (series: DeviceSeries) => { unit: string; by: number };
  words?: (value: number) => string; // before it is divided: where some are next to nothing in the unit
  y_max?: (gpu: Device | undefined) => number | undefined;
}

const in_unit = (unit: string, by = 1) => () => ({ unit, by });
const in_bytes = (value: number) => bytes(Math.round(value));
const per_second = (value: number) => `${in_bytes(value)}/s`;
const rates = (...fields: Field[]) => (series: DeviceSeries) => rate_unit(series, fields);

const CHARTS: readonly Chart[] = [
  {
    title: "Utilization",
    help: "Share of time in which any kernel ran, and in which memory was read or written",
    fields: [["utilization", "compute"], ["memory_utilization", "memory access"]],
    unit: in_unit("%"),
    y_max: () => 100,
  },
  {
    title: "Memory",
    help: "Memory in use; the axis ends at all of it",
    fields: [["memory_used", "used"]],
    unit: in_unit("GiB", 2 ** 30),
    words: in_bytes,
    y_max: (gpu) => gpu?.memory_total && gpu.memory_total / 2 ** 30,
  },
  { title: "Temperature", help: "Of the chip", fields: [["temperature", "chip"]], unit: in_unit("°C") },
  {
    title: "Power",
    help: "Drawn by the whole device; the axis ends at its limit",
    fields: [["power_draw", "draw"]],
    unit: in_unit("W"),
    y_max: (gpu) => gpu?.power_limit,
  },
  {
    title: "Clocks",
    help: "Of the multiprocessors and of the memory",
    fields: [["clocks_sm", "SM"], ["clocks_memory", "memory"]],
    unit: in_unit("MHz"),
  },
  {
    title: "PCIe",
    help: "To and from the host",
    fields: [["pcie_tx", "sent"], ["pcie_rx", "received"]],
    unit: rates("pcie_tx", "pcie_rx"),
    words: per_second,
  },
  {
    title: "NVLink",
    help: "To and from other GPUs, over all links",
    fields: [["nvlink_tx", "sent"], ["nvlink_rx", "received"]],
    unit: rates("nvlink_tx", "nvlink_rx"),
    words: per_second,
  },
];

interface Props {
  gpu: Device | undefined;
  group: ChartGroup;
  series: DeviceSeries;
  markers: PlotMarker[];
  from: number;
  to: number;
}

function use_format({ fields, words }: Chart, series: DeviceSeries, by: number): ((value: number) => string) | undefined {
  return useMemo(() => {
    const is_tiny = (value: number | null) => value !== null && value > 0 && value < by / 100;
    const needed = words !== undefined && fields.some(([field]) => series.fields[field].min.some(is_tiny));
    return needed ? (value) => words(value * by) : undefined;
  }, [fields, words, series, by]);
}

function OneChart({ chart, gpu, group, series, markers, from, to }: Props & { chart: Chart }) {
  const { unit, by } = chart.unit(series);
  const curves = useMemo(
    () =>
      chart.fields.flatMap(([field, label], i) => {
        const look = chart.fields.length > 1 ? curve_look(i) : { color: "--accent" };
        return is_measured(series, field) ? [{ label, ...look, ...divided(series.fields[field], by) }] : [];
      }),
    [chart, series, by],
  );
  const extent = useMemo(() => [from, to] as const, [from, to]);
  const y_max = chart.y_max?.(gpu);
  const format = use_format(chart, series, by);
  if (curves.length === 0) return null;
  return (
    <Plot title={chart.title} help={chart.help} unit={unit} group={group} x={series.time} curves={curves} markers={markers} extent={extent}
      y_min_zero={chart.title !== "Temperature"} {...(y_max !== undefined && { y_max })} {...(format && { format })} />
  );
}

export function DeviceCharts(props: Props) {
  return (
    <div className="charts">
      {CHARTS.map((chart) => (
        <OneChart key={chart.title} chart={chart} {...props} />
      ))}
    </div>
  );
}
