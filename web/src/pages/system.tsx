import type { Aggregate } from "../api/schema";
import { DeviceCard } from "../devices/device_card";
import { HeatMap } from "../devices/heat_map";
import { type Point, points_of_all } from "../devices/points";
import { use_recent_history } from "../devices/recent";
import { Sparkline } from "../devices/sparkline";
import { gib, percent, rounded, share } from "../format";
import { use_kept } from "../kept";
import type { Measured } from "../live/devices_state";
import { use_aggregate, use_devices, use_live_aggregate, use_phase } from "../live/store";
import { Chip } from "../parts/chip";
import { Meter } from "../parts/meter";
import { Segments } from "../parts/segments";
import { use_title } from "../router";

const KEY = "saemill-system-view";
const VIEWS = ["Aggregated", "Per GPU"] as const;
type View = (typeof VIEWS)[number];

const MOST_CARDS = 8; // at once; of more a heat map is the overview

interface Curve {
  points: Point[];
  now: number;
  most: number;
}

function NumberCard({ name, value, curve }: { name: string; value: string; curve?: Curve }) {
  return (
    <div className="card number-card">
      <dt>{name}</dt>
      <dd>
        {value}
        {curve?.points.some(({ value }) => value !== null) && <Sparkline {...curve} />}
      </dd>
    </div>
  );
}

function use_curves(): Record<"mean" | "busiest" | "power" | "hottest", Curve> {
  const { gpus, samples, now } = use_devices();
  const curve = (name: Measured, how: "mean" | "sum" | "max", most: number): Curve => ({ points: points_of_all(samples, name, now, how), now, most });
  const limit = gpus?.reduce((sum, { power_limit, power_draw }) => sum + (power_limit ?? power_draw ?? 0), 0);
  return {
    mean: curve("utilization", "mean", 100),
    busiest: curve("utilization", "max", 100),
    power: curve("power_draw", "sum", limit || 1),
    hottest: curve("temperature", "max", 100),
  };
}

function Numbers({ all }: { all: Aggregate }) {
  const used = share(all.total_memory_used, all.total_memory_total) ?? 0;
  const curves = use_curves();
  const states = Object.entries(all.counts).filter(([, devices]) => devices > 0);
  return (
    <dl className="numbers">
      <NumberCard name="Mean utilization" value={percent(all.average_utilization)} curve={curves.mean} />
      <NumberCard name="Busiest device" value={percent(all.max_utilization)} curve={curves.busiest} />
      <NumberCard name="Power" value={rounded(all.total_power_draw, "W")} curve={curves.power} />
      <NumberCard name="Hottest" value={rounded(all.max_temperature, "°C")} curve={curves.hottest} />
      <div className="card wide">
        <dt className="hidden">Memory of all devices</dt>
        <dd>
          <Meter
            label="Memory of all devices"
            text={`${gib(all.total_memory_used)} of ${gib(all.total_memory_total)}`}
            parts={[{ name: "busy", percent: used }]}
          />
        </dd>
      </div>
      <div className="card wide">
        <dt>Devices by state</dt>
        <dd className="chips">
          {states.map(([state, devices]) => (
            <Chip key={state} state={state}>
              {devices}
            </Chip>
          ))}
        </dd>
      </div>
    </dl>
  );
}

function Aggregated() {
  use_live_aggregate();
  const aggregate = use_aggregate((state) => state.aggregate);
  return aggregate === null ? <p>Waiting for the first numbers …</p> : <Numbers all={aggregate} />;
}

function PerGpu() {
  const gpus = use_devices((state) => state.gpus);
  return (
    <>
      {gpus && gpus.length > MOST_CARDS && <HeatMap />}
      <ul id="devices" className="devices">
        {gpus?.map((gpu) => <DeviceCard key={gpu.uuid} gpu={gpu} />)}
      </ul>
    </>
  );
}

export function SystemPage() {
  use_title("System");
  const devices = use_devices((state) => state.gpus?.length);
  const recent = use_recent_history();
  const lost = use_phase((state) => state.phase === "lost");
  const [view, choose] = use_kept<View>(KEY, VIEWS, "Per GPU");
  return (
    <section aria-labelledby="title" className={lost ? "stale" : undefined}>
      <div className="title-row">
        <h1 id="title">System</h1>
        {devices !== 0 && <Segments label="View" options={VIEWS} chosen={view} choose={choose} />}
      </div>
      {devices === undefined && <p>Waiting for the devices …</p>}
      {devices === 0 && (
        <p>
          This machine has no GPU that the server can see. To train on its processors, start the server with{" "}
          <code>--cpu-slots N</code>.
        </p>
      )}
      {devices ? view === "Aggregated" ? <Aggregated /> : <PerGpu /> : null}
      {devices ? <p className="small curves-note">The curves show the last 5 minutes.</p> : null}
      {recent.isError && <p role="alert" className="error">What was measured before is not shown: {recent.error.message}</p>}
    </section>
  );
}
