// Events along x. Where they are nearer than a reader could tell apart, they are drawn as one.
export type Tone = "good" | "wait" | "bad" | "quiet";

export interface PlotMarker {
  x: number;
  label: string;
  tone: Tone;
}

export interface Cluster {
  at: number; // px, of the gravest of them
  tone: Tone; // its tone
  markers: PlotMarker[];
}

const GRAVITY: Record<Tone, number> = { quiet: 0, good: 1, wait: 2, bad: 3 };

const GAP_PX = 10;

// In the order of x. `place` says where x is in px; null: not in view.
export function clusters(markers: readonly PlotMarker[], place: (x: number) => number | null, gap = GAP_PX): Cluster[] {
  const found: Cluster[] = [];
  let begin = -Infinity; // of the last cluster: a chain of near ones must not grow without end
  for (const marker of markers) {
    const at = place(marker.x);
    if (at === null) continue;
    const last = found.at(-1);
    if (last !== undefined && at - begin < gap) {
      last.markers.push(marker);
      if (GRAVITY[marker.tone] > GRAVITY[last.tone]) Object.assign(last, { tone: marker.tone, at });
    } else {
      found.push({ at, tone: marker.tone, markers: [marker] });
      begin = at;
    }
  }
  return found;
}

// The cluster that the cursor points at.
export function nearest(found: readonly Cluster[], at: number, reach = 6): Cluster | null {
  let best: Cluster | null = null;
  for (const cluster of found)
    if (Math.abs(cluster.at - at) <= reach && (best === null || Math.abs(cluster.at - at) < Math.abs(best.at - at))) best = cluster;
  return best;
}

// The gravest first; of many the number.
export function cluster_words({ markers }: Pick<Cluster, "markers">, most = 1): string {
  const gravest = [...markers].sort((a, b) => GRAVITY[b.tone] - GRAVITY[a.tone]);
  const named = gravest.slice(0, most).map(({ label }) => label);
  const more = markers.length - named.length;
  return more > 0 ? `${named.join(", ")} and ${more} more` : named.join(", ");
}

// All of them in words, for those who see no canvas; the grave ones each, the others counted.
export function marker_list(markers: readonly PlotMarker[], most = 20): string[] {
  const grave = markers.filter(({ tone }) => tone === "bad" || tone === "wait");
  const others = markers.length - grave.length;
  const named = (markers.length <= most ? [...markers] : grave.slice(-most)).map(({ label }) => label);
  if (markers.length <= most) return named;
  const unnamed = others + grave.length - named.length;
  return unnamed > 0 ? [...named, `${unnamed} other events, listed under Events`] : named;
}
