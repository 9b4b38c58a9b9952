// What a training measured, and what its devices did meanwhile: one axis, one cursor, one zoom.
import { type ReactNode, useMemo, useState } from "react";
import type { RunEvent, Training } from "../api/schema";
import { CHART_HELP, ChartControls } from "../charts/controls";
import { use_chart_group, type XAxis } from "../charts/group";
import type { PlotMarker } from "../charts/markers";
import { NO_CURVES } from "../live/series";
import { Segments } from "../parts/segments";
import { DeviceFigures } from "./device_figures";
import { event_markers } from "./event_markers";
import { figures, GROUPS, rank_figures } from "./figures";
import { MetricFigures, RankFigures } from "./metric_figures";
import { reported_by_ranks } from "./rank_curves";
import { devices_of } from "./run_events";
import { clock_of } from "./times";
import { use_catalog } from "./use_catalog";
import { use_curves, use_rank_curves, use_zoomed } from "./use_curves";

const AXES: readonly XAxis[] = ["step", "time"];
const OFFERS = { step: ["smoothing", "log_x", "log_y"], time: ["smoothing", "log_y"] } as const;

// A closed group costs nothing.
function Group({ name, children, open: at_first = true }: { name: string; children: () => ReactNode; open?: boolean }) {
  const [open, set_open] = useState(at_first);
  return (
    <details className="chart-group" open={open} onToggle={(event) => set_open(event.currentTarget.open)}>
      <summary>
        <h2>{name}</h2>
      </summary>
      {open && children()}
    </details>
  );
}

function extent_of(markers: readonly PlotMarker[]): readonly [number, number] | undefined {
  const [first] = markers;
  return first && [first.x, (markers.at(-1) ?? first).x];
}

export function TrainingCharts({ training, events }: { training: Training; events: RunEvent[] }) {
  const { id } = training;
  const [axis, set_axis] = useState<XAxis>("step");
  const group = use_chart_group(axis);
  const { curves: all, lines, problem } = use_curves(id);
  const curves = use_zoomed(id, all, group);
  const ranks = use_rank_curves(id, training.world_size, lines);
  const catalog = use_catalog();
  const started = training.started_at === undefined ? null : Date.parse(training.started_at) / 1000;
  const clock = useMemo(() => clock_of(all ?? NO_CURVES, started), [all, started]);
  // Steps are only needed for events that do not tell theirs, so a new one changes no marker that is there.
  const markers = useMemo(() => event_markers(events, axis, clock), [events, axis, clock.step.length > 0]);
  // The first and the last of them are seen, too.
  const extent = useMemo(() => extent_of(markers), [markers]);
  const devices = useMemo(() => devices_of(events, training.device_uuids), [events, training.device_uuids.join()]);
  const reported = Object.keys(curves?.columns ?? {}).join();
  const shown = useMemo(() => figures(catalog.data ?? { data: [] }, reported.split(",").filter(Boolean)), [catalog.data, reported]);
  const by_ranks = reported_by_ranks(ranks);
  const of_ranks = useMemo(() => rank_figures(catalog.data ?? { data: [] }, by_ranks), [catalog.data, by_ranks.join()]);
  const failed = problem !== null && <p role="alert" className="error">{problem}</p>;
  if (curves === null || catalog.isPending) return failed || <p>Loading …</p>;
  if (curves.step.length === 0) return <p>It has measured nothing yet.</p>;
  const common = { group, markers, extent };
  return (
    <>
      {failed}
      <div className="chart-bar">
        <Segments label="x axis" options={AXES} chosen={axis} choose={set_axis} />
        <ChartControls group={group} offers={OFFERS[axis]} />
      </div>
      {GROUPS.map((name) => {
        const per_rank = name === "Speed" ? of_ranks : [];
        if (shown[name].length + per_rank.length === 0) return null;
        return (
          <Group key={name} name={name} open={name !== "More"}>
            {() => (
              <div className="charts">
                <MetricFigures figures={shown[name]} curves={curves} {...common} />
                {per_rank.length > 0 && <RankFigures figures={per_rank} curves={ranks} {...common} />}
              </div>
            )}
          </Group>
        );
      })}
      {devices.length > 0 && (
        <Group name="Devices">{() => <DeviceFigures training={training} devices={devices} clock={clock} {...common} />}</Group>
      )}
      <p className="small">{CHART_HELP}</p>
    </>
  );
}
