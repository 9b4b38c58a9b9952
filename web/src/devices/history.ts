// What the server remembers of a device. It is asked for while the connection is there, and again once it is back: what
// was measured meanwhile came by no channel.
import { get, path_of } from "../api/client";
import type { History } from "../api/schema";
import { use_devices, use_phase } from "../live/store";

interface Asked {
  from: number; // epoch seconds
  to?: number | undefined;
  buckets: number; // at most
  fields: readonly string[];
}

export function get_history(uuid: string, { from, to, buckets, fields }: Asked): Promise<History> {
  const until = to === undefined ? "" : `&to=${to}`;
  return get(`${path_of("system", "gpus", uuid, "history")}?from=${from}${until}&buckets=${buckets}&fields=${fields.join()}`);
}

// As `enabled` of a query: whoever is enabled again reads again.
export function use_is_live(): boolean {
  return use_phase(({ phase }) => phase === "live");
}

// Epoch seconds of the server, as far as they are known.
export function server_time(): number {
  return use_devices.getState().now || Date.now() / 1000;
}
