// Everything about one device: how it is, what it measured, who used it, what happened to it.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { get, path_of } from "../api/client";
import type { Device, EventList, MachineEvent } from "../api/schema";
import { CHART_HELP, ChartControls } from "../charts/controls";
import { use_chart_group } from "../charts/group";
import { Memory, Owner } from "../devices/device_card";
import { DeviceCharts } from "../devices/device_charts";
import { DeviceFacts, Processes } from "../devices/device_facts";
import { event_markers, job_spans, type Range, RANGES } from "../devices/device_series";
import { device_name } from "../devices/device_words";
import { JobBand } from "../devices/job_band";
import { use_series, use_zoomed_series } from "../devices/use_series";
import { EventRows } from "../events/event_rows";
import { use_events } from "../events/store";
import { moment, percent } from "../format";
import { has_measured } from "../live/devices_state";
import { merged } from "../live/events_state";
import { use_devices, use_phase } from "../live/store";
import { Chip } from "../parts/chip";
import { Meter } from "../parts/meter";
import { Said } from "../parts/said";
import { Segments } from "../parts/segments";
import { device_link, use_place, use_title } from "../router";

const NEWEST_EVENTS = 500; // of the device
const WORDS = RANGES.map(({ words }) => words);

function use_device_events(uuid: string): { events: MachineEvent[]; problem: string | undefined } {
  const asked = useQuery({
    queryKey: ["events", "device", uuid],
    queryFn: () => get<EventList>(`events?device=${encodeURIComponent(uuid)}&limit=${NEWEST_EVENTS}`),
  });
  const newest = use_events((state) => state.events);
  const events = useMemo(
    () => merged<MachineEvent>(newest, asked.data?.data ?? []).filter(({ device_uuid }) => device_uuid === uuid),
    [newest, asked.data, uuid],
  );
  return { events, problem: asked.error?.message };
}

// gpu: as it is; shown: the last that measured anything.
function State({ gpu, shown }: { gpu: Device | undefined; shown: Device }) {
  const old = gpu === undefined || !has_measured(gpu);
  const is_told = gpu?.current_job === undefined && gpu?.health.reasons.some(({ message }) => message === gpu.reason.message);
  return (
    <section className="card" aria-label="State">
      {gpu && !is_told && <Owner gpu={gpu} />}
      {gpu && gpu.health.reasons.length > 0 && (
        <ul className="error">
          {gpu.health.reasons.map(({ code, message }) => (
            <li key={code}><Said words={message} /></li>
          ))}
        </ul>
      )}
      {old && has_measured(shown) && <p className="old-note">These are its last values, of {moment(shown.sampled_at)}:</p>}
      <div className={old ? "old" : undefined}>
        <div className="device-meters">
          <Meter label="Utilization" text={percent(shown.utilization)} parts={[{ name: "busy", percent: Math.min(100, shown.utilization ?? 0) }]} />
          <div>
            <Memory gpu={shown} />
          </div>
        </div>
        <DeviceFacts gpu={shown} />
      </div>
    </section>
  );
}

function use_range(): [Range, (words: string) => void] {
  const { path, query } = use_place();
  const range = RANGES.find(({ words }) => words === query.get("range")) ?? (RANGES[0] as Range);
  const place = path.map(encodeURIComponent).join("/");
  return [range, (words) => location.replace(words === RANGES[0]?.words ? `#/${place}` : `#/${place}?${new URLSearchParams({ range: words })}`)];
}

function Measured({ uuid, gpu, events }: { uuid: string; gpu: Device | undefined; events: readonly MachineEvent[] }) {
  const [range, choose] = use_range();
  const group = use_chart_group("time");
  const { series, problem, from, to } = use_series(uuid, range);
  const closer = use_zoomed_series(uuid, series, group);
  const markers = useMemo(() => event_markers(events, from, to), [events, from, to]);
  return (
    <section aria-labelledby="measured">
      <div className="title-row">
        <h2 id="measured">Measured</h2>
        <Segments label="Time shown" options={WORDS} chosen={range.words} choose={choose} />
        <ChartControls group={group} offers={[]} />
      </div>
      {problem && <p role="alert" className="error">{problem}</p>}
      {series === null && !problem && <p>Loading …</p>}
      {series?.time.length === 0 && <p>Nothing was measured in this time.</p>}
      {closer && closer.time.length > 0 && <DeviceCharts gpu={gpu} group={group} series={closer} markers={markers} from={from} to={to} />}
      {series && <p className="small">{CHART_HELP}</p>}
      {series && <JobBand spans={job_spans(series)} from={from} to={to} />}
    </section>
  );
}

function Detail({ uuid, gpu, shown }: { uuid: string; gpu: Device | undefined; shown: Device | undefined }) {
  const { events, problem } = use_device_events(uuid);
  return (
    <>
      {shown && <State gpu={gpu} shown={shown} />}
      <Measured uuid={uuid} gpu={shown} events={events} />
      <div className="device-columns">
        {gpu && <Processes gpu={gpu} />}
        <section className="card" aria-labelledby="device-events">
          <h2 id="device-events">Events</h2>
          {problem && <p role="alert" className="error">{problem}</p>}
          {events.length === 0 && !problem && <p className="small">Nothing of note happened to it lately.</p>}
          {events.length > 0 && <EventRows label="Events of this device" events={events} here={uuid} />}
        </section>
      </div>
    </>
  );
}

// What the server says about an id that no device here has: it also knows names (gpu:0), which lead to the device.
function Missing({ id, known }: { id: string; known: boolean }) {
  const asked = useQuery({ queryKey: ["devices", id], queryFn: () => get<Device>(path_of("system", "gpus", id)), enabled: !known });
  const uuid = asked.data?.uuid;
  useEffect(() => {
    if (uuid !== undefined) location.replace(device_link(uuid));
  }, [uuid]);
  if (known) return <p role="alert" className="error">This device is no longer there.</p>;
  if (asked.isPending) return <p>Loading …</p>;
  return asked.isError ? <p role="alert" className="error">{asked.error.message}</p> : null;
}

export default function DevicePage({ id }: { id: string }) {
  const gpus = use_devices((state) => state.gpus);
  const gpu = gpus?.find(({ uuid, index }) => uuid === id || String(index) === id);
  const uuid = gpu?.uuid ?? id;
  const last = use_devices((state) => state.last[uuid]);
  const lost = use_phase((state) => state.phase === "lost");
  // Before anything was measured there is still what it is.
  const shown = last ?? gpu;
  const name = shown ? device_name(gpu ?? shown) : "Device";
  use_title(name);
  return (
    <article className={lost ? "device-page stale" : "device-page"} aria-labelledby="title">
      <p className="small">
        <a href="#/">System</a>
      </p>
      <div className="title-row">
        <h1 id="title">{name}</h1>
        {gpu && <Chip state={gpu.availability} />}
      </div>
      {gpus === null && <p>Waiting for the devices …</p>}
      {gpus !== null && !gpu && <Missing id={id} known={last !== undefined} />}
      {shown && <Detail uuid={uuid} gpu={gpu} shown={shown} />}
    </article>
  );
}
