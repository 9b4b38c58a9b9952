// Events on the canvas: a line, and on the axis a shape of its own for each tone.
import type uPlot from "uplot";
import { type Cluster, clusters, type PlotMarker, type Tone } from "./markers";

const MOST_LINES = 12;
const COLORS: Record<Tone, string> = { good: "--good", wait: "--wait", bad: "--bad", quiet: "--quiet" };

function shape(context: CanvasRenderingContext2D, tone: Tone, x: number, y: number, r: number): void {
  const points: Record<Exclude<Tone, "good">, [number, number][]> = {
    wait: [[0, -1.1], [1.1, 0.9], [-1.1, 0.9]],
    bad: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
    quiet: [[0, -1], [1, 0], [0, 1], [-1, 0]],
  };
  context.beginPath();
  if (tone === "good") context.arc(x, y, r * 0.9, 0, 2 * Math.PI);
  else for (const [dx, dy] of points[tone]) context.lineTo(x + dx * r, y + dy * r);
  context.closePath();
  context.fill();
}

export function draw_markers(plot: uPlot, markers: readonly PlotMarker[], color: (name: string) => string): Cluster[] {
  const { ctx: context, bbox } = plot;
  const ratio = plot.bbox.width / plot.over.clientWidth || 1;
  const place = (x: number) => {
    const at = plot.valToPos(x, "x");
    return Number.isFinite(at) && at >= 0 && at <= plot.over.clientWidth ? at : null;
  };
  const found = clusters(markers, place);
  context.save();
  context.lineWidth = ratio;
  context.setLineDash([3 * ratio, 3 * ratio]);
  const quiet = found.filter(({ tone }) => tone === "quiet").length;
  for (const tone of Object.keys(COLORS) as Tone[]) {
    const at = found.filter((cluster) => cluster.tone === tone).map((cluster) => bbox.left + cluster.at * ratio);
    if (at.length === 0) continue;
    context.fillStyle = context.strokeStyle = color(COLORS[tone]);
    context.globalAlpha = tone === "quiet" ? 0.3 : 0.55;
    // A fence of lines would hide the curve.
    context.beginPath();
    for (const x of tone === "quiet" && quiet > MOST_LINES ? [] : at) {
      context.moveTo(x, bbox.top);
      context.lineTo(x, bbox.top + bbox.height);
    }
    context.stroke();
    context.globalAlpha = 1;
    for (const x of at) shape(context, tone, x, bbox.top + bbox.height, (tone === "quiet" ? 3.2 : 4.2) * ratio);
  }
  context.restore();
  return found;
}
