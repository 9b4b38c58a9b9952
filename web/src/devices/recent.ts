// What the server remembers of the last minutes, so that no curve starts empty, and none keeps the gap of a lost connection.
import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { History } from "../api/schema";
import { FILL_BUCKETS, KEPT_S, MEASURED, with_history } from "../live/devices_state";
import { use_devices, use_phase } from "../live/store";

async function fill(uuids: string[]): Promise<number> {
  const from = Math.floor(use_devices.getState().now) - KEPT_S;
  const query = `from=${from}&buckets=${FILL_BUCKETS + 2}&fields=${MEASURED.join()}`; // its ends may lie within buckets
  const all = await Promise.all(uuids.map((uuid) => get<History>(`system/gpus/${encodeURIComponent(uuid)}/history?${query}`)));
  use_devices.setState((state) => all.reduce(with_history, state));
  return all.length;
}

export function use_recent_history() {
  const phase = use_phase((state) => state.phase);
  const uuids = use_devices((state) => state.gpus?.map(({ uuid }) => uuid).join(" ") ?? "");
  // Asked again whenever the connection is back.
  return useQuery({
    queryKey: ["devices", "recent", uuids, phase],
    queryFn: () => fill(uuids.split(" ")),
    enabled: phase === "live" && uuids !== "",
  });
}
