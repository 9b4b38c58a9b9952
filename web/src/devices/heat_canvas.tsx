// The cells of the heat map: drawn on a canvas, pointed at by mouse, finger or arrow keys.
import { type KeyboardEvent, type PointerEvent, useEffect, useRef } from "react";
import { use_width } from "../parts/use_width";
import { color_of, use_theme } from "../theme";
import { type Cell, COLUMNS, type HeatRow, type HeatScale, mixed, moved } from "./heat";

const ROW_PX = 24;
const GAP_PX = 2;
const STOPS = ["--heat-0", "--heat-1", "--heat-2", "--heat-3", "--heat-4"];

const parts_of = (color: string) => (color.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number);

function draw(canvas: HTMLCanvasElement, rows: readonly HeatRow[], scale: HeatScale, cell: Cell | null): void {
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const stops = STOPS.map((name) => parts_of(color_of(canvas, name)));
  const { width, height } = canvas;
  const row_px = height / rows.length;
  const gap = (GAP_PX * row_px) / ROW_PX;
  const ground = color_of(canvas, "--card");
  const left = (column: number) => Math.round((column * width) / COLUMNS);
  pen.clearRect(0, 0, width, height);
  rows.forEach((row, r) => {
    row.forEach((value, column) => {
      if (value === null) return;
      pen.fillStyle = mixed(stops, scale, value);
      pen.fillRect(left(column), Math.round(r * row_px), left(column + 1) - left(column), Math.round(row_px - gap));
    });
    pen.fillStyle = ground;
    pen.fillRect(0, Math.round((r + 1) * row_px - gap), width, Math.ceil(gap));
  });
  if (cell === null) return;
  // Two lines, of which one is seen on any color.
  for (const [name, line] of [["--card", 5], ["--text", 2]] as const) {
    pen.strokeStyle = color_of(canvas, name);
    pen.lineWidth = line * devicePixelRatio;
    pen.strokeRect(left(cell.column) - 2, cell.row * row_px, left(cell.column + 1) - left(cell.column) + 4, row_px - gap);
  }
}

interface Props {
  label: string;
  rows: readonly HeatRow[];
  scale: HeatScale;
  cell: Cell | null;
  point: (cell: Cell | null) => void;
}

export function HeatCanvas({ label, rows, scale, cell, point }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = use_width(host);
  const drawn = use_theme((state) => state.drawn);
  useEffect(() => {
    if (canvas.current === null || width === 0) return;
    canvas.current.width = Math.round(width * devicePixelRatio);
    canvas.current.height = Math.round(rows.length * ROW_PX * devicePixelRatio);
    draw(canvas.current, rows, scale, cell);
  }, [rows, scale, cell, width, drawn]);
  const pointed = (event: PointerEvent) => {
    const { left, top } = event.currentTarget.getBoundingClientRect();
    const column = Math.floor(((event.clientX - left) / width) * COLUMNS);
    const row = Math.floor((event.clientY - top) / ROW_PX);
    point(row >= 0 && row < rows.length && column >= 0 && column < COLUMNS ? { row, column } : null);
  };
  const newest = { row: 0, column: COLUMNS - 1 };
  const pressed = (event: KeyboardEvent) => {
    const next = moved(cell ?? newest, event.key, rows.length);
    if (next === null) return;
    event.preventDefault();
    point(next);
  };
  return (
    <div ref={host} className="heat-canvas" role="application" tabIndex={0} aria-label={label} aria-describedby="heat-readout"
      onPointerMove={pointed} onPointerDown={pointed} onPointerLeave={() => point(null)} onKeyDown={pressed}
      onFocus={() => cell === null && point(newest)} onBlur={() => point(null)}>
      <canvas ref={canvas} aria-hidden="true" style={{ height: rows.length * ROW_PX }} />
    </div>
  );
}
