// What the server remembers of the last minutes, so that no curve starts empty, and none keeps the gap of a lost connection.
import { useQuery } from "@tanstack/react-query";
import { FILL_BUCKETS, KEPT_S, MEASURED, with_history } from "../live/devices_state";
import { use_devices } from "../live/store";
import { get_history, server_time, use_is_live } from "./history";

async function fill(uuids: string[]): Promise<number> {
  const from = Math.floor(server_time()) - KEPT_S;
  const buckets = FILL_BUCKETS + 2; // its ends may lie within buckets
  const all = await Promise.all(uuids.map((uuid) => get_history(uuid, { from, buckets, fields: MEASURED })));
  use_devices.setState((state) => all.reduce(with_history, state));
  return all.length;
}

export function use_recent_history() {
  const uuids = use_devices((state) => state.gpus?.map(({ uuid }) => uuid).join(" ") ?? "");
  const is_live = use_is_live();
  return useQuery({
    queryKey: ["devices", "recent", uuids],
    queryFn: () => fill(uuids.split(" ")),
    enabled: is_live && uuids !== "",
  });
}
