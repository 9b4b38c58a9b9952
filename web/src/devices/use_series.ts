import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import type { Device } from "../api/schema";
import type { ChartGroup } from "../charts/group";
import { use_settled } from "../charts/settled";
import { has_measured } from "../live/devices_state";
import { use_devices } from "../live/store";
import { BUCKETS, device_series, type DeviceSeries, FIELDS, type Range, spliced } from "./device_series";
import { get_history, server_time, use_is_live } from "./history";

const JOINED_S = 300; // then the live readings are in the history, and are read again from there
const MOST_READINGS = 1500; // in that time, at the four of a second that the page takes
const SOONEST_S = 30;

// Each reading since the page was opened.
function use_readings(uuid: string, wanted: boolean): readonly Device[] {
  const [readings, set_readings] = useState<readonly Device[]>([]);
  useEffect(() => {
    set_readings([]);
    if (!wanted) return undefined;
    return use_devices.subscribe(({ gpus }) => {
      const gpu = gpus?.find((one) => one.uuid === uuid);
      if (gpu === undefined || !has_measured(gpu)) return;
      set_readings((known) => (known.at(-1)?.sampled_at === gpu.sampled_at ? known : [...known, gpu].slice(-MOST_READINGS)));
    });
  }, [uuid, wanted]);
  return readings;
}

export interface Measured {
  series: DeviceSeries | null;
  problem: string | undefined;
  from: number; // epoch seconds
  to: number;
}

export function use_series(uuid: string, range: Range): Measured {
  const is_live = use_is_live();
  const now = use_devices((state) => state.now) || Math.floor(Date.now() / 1000);
  const readings = use_readings(uuid, range.live);
  const asked = useQuery({
    queryKey: ["devices", uuid, "history", range.span_s],
    queryFn: async () => {
      const to = Math.floor(server_time()) + 1;
      return { to, history: await get_history(uuid, { from: to - range.span_s, to, buckets: BUCKETS, fields: FIELDS }) };
    },
    enabled: is_live,
    refetchInterval: ({ state: { data } }) => 1000 * (range.live ? JOINED_S : Math.max(SOONEST_S, data?.history.bucket_s ?? 0)),
  });
  const to = range.live ? now : (asked.data?.to ?? now);
  const from = to - range.span_s;
  const history = asked.data?.history;
  const series = useMemo(() => (history ? device_series(history, readings, from) : null), [history, readings, from]);
  return { series, problem: asked.error?.message, from, to };
}

// With finer buckets where the reader looks closer, as far as the server has them.
export function use_zoomed_series(uuid: string, coarse: DeviceSeries | null, group: ChartGroup): DeviceSeries | null {
  const settled = use_settled(group);
  const [from, to] = settled === null ? [0, 0] : [Math.floor(settled[0]), Math.ceil(settled[1])];
  const wanted = settled !== null && coarse !== null && to - from < BUCKETS * coarse.bucket_s;
  const fine = useQuery({
    queryKey: ["devices", uuid, "history", "zoomed", from, to],
    queryFn: () => get_history(uuid, { from, to, buckets: BUCKETS, fields: FIELDS }),
    enabled: wanted && coarse.bucket_s > 1,
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  return useMemo(
    () => (wanted && fine.data !== undefined && fine.data.bucket_s < coarse.bucket_s ? spliced(coarse, device_series(fine.data, [], 0)) : coarse),
    [coarse, wanted, fine.data],
  );
}
