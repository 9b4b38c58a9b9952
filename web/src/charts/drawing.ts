// One figure on its canvas, outside of React: it draws at most four times a second, and only while it can be seen.
import uPlot from "uplot";
import { color_of } from "../theme";
import { type CurveData, drawn_columns, has_band, layers } from "./data";
import { draw_markers } from "./draw_markers";
import { type ChartGroup, follow, full_range, type Member, pan, period_ms, show_range, shown_range, zoom } from "./group";
import { type Cluster, cluster_words, nearest, type PlotMarker } from "./markers";
import { type Answers, type Figure, HEIGHT, options } from "./options";
import { type Range, union } from "./range";
import { x_words } from "./ticks";
import { Fingers } from "./touch";
import "uplot/dist/uPlot.min.css";

export interface Shown {
  x: number[];
  curves: readonly (CurveData & { label: string; color: string; dash?: number[]; hidden: boolean })[];
  markers: readonly PlotMarker[];
  extent: Range | undefined;
  say: (value: number) => string; // with its unit
  bare: (value: number) => string;
  label: ((value: number) => string) | undefined;
  binary: boolean;
  y_min_zero: boolean;
  y_max: number | undefined;
}

export interface Places {
  canvas: HTMLElement;
  readout: HTMLElement;
  legend: HTMLElement | null;
}

export class Drawing implements Member, Answers {
  extent: Range | null = null;
  private shown: Shown | null = null;
  private plot: uPlot | null = null;
  private built = ""; // of what the plot was made
  private found: Cluster[] = [];
  private seen = false;
  private stale = false;
  private last = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private frame = 0;
  private readonly colors = new Map<string, string>();
  private readonly ends: (() => void)[];

  constructor(
    private readonly places: Places,
    private readonly group: ChartGroup,
  ) {
    const sight = new IntersectionObserver((entries) => this.sighted(entries.at(-1)?.isIntersecting === true), { rootMargin: "80px" });
    sight.observe(places.canvas);
    const size = new ResizeObserver(() => this.plot?.setSize({ width: places.canvas.clientWidth, height: HEIGHT }));
    size.observe(places.canvas);
    const wheel = (event: WheelEvent) => this.wheeled(event);
    places.canvas.addEventListener("wheel", wheel, { passive: false });
    const fingers = new Fingers(group, {
      area: () => this.plot?.over.getBoundingClientRect() ?? null,
      // As the mouse would, with all figures of the group.
      read: (clientX) => void this.plot?.over.dispatchEvent(new MouseEvent("mousemove", { clientX })),
    });
    this.ends = [
      fingers.listen(places.canvas),
      () => sight.disconnect(),
      () => size.disconnect(),
      () => places.canvas.removeEventListener("wheel", wheel),
      group.view.subscribe(() => this.draw_soon()),
    ];
    group.members.add(this);
  }

  destroy(): void {
    this.ends.forEach((end) => end());
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.plot?.destroy();
    this.plot = null;
    this.group.members.delete(this);
    this.group.members.forEach((other) => other.changed());
  }

  show(shown: Shown): void {
    this.shown = shown;
    const before = full_range(this.group);
    const { x, extent } = shown;
    this.extent = union([x.length > 0 ? [x[0] as number, x.at(-1) as number] : null, extent ?? null]);
    const after = full_range(this.group);
    this.changed();
    if (before?.[0] !== after?.[0] || before?.[1] !== after?.[1]) this.group.members.forEach((other) => other.changed());
  }

  changed(): void {
    if (!this.seen) this.stale = true;
    else this.timer ??= setTimeout(() => this.draw(), Math.max(0, this.last + period_ms(this.group) - Date.now()));
  }

  // The theme is another one. What was drawn once is seen again by whoever scrolls.
  recolor(): void {
    this.colors.clear();
    this.built = "";
    if (this.plot === null) this.draw_soon();
    else this.draw();
  }

  visible(): boolean {
    return this.seen;
  }

  private sighted(seen: boolean): void {
    this.seen = seen;
    if (seen && (this.stale || this.plot === null)) this.draw();
  }

  // What the reader did is answered with the next picture.
  private draw_soon(): void {
    if (!this.seen) this.stale = true;
    else if (this.frame === 0) this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.timer = undefined;
    this.frame = 0;
    this.last = Date.now();
    this.stale = false;
    const { shown } = this;
    const range = shown_range(this.group);
    if (shown === null || range === null) return;
    const view = this.group.view.getState();
    const data = drawn_columns(shown.x, shown.curves, view) as uPlot.AlignedData;
    const build = this.structure(shown);
    if (this.plot === null || build !== this.built) {
      this.plot?.destroy();
      this.plot = new uPlot(options(this.figure(shown), this.places.canvas.clientWidth, this), data, this.places.canvas);
      this.built = build;
    } else {
      this.plot.setData(data, false);
    }
    this.plot.setScale("x", { min: range[0], max: range[1] });
    this.tell();
  }

  private structure({ curves, y_max, y_min_zero }: Shown): string {
    const { log_x, log_y, smoothing } = this.group.view.getState();
    const looks = curves.map((one) => [one.label, one.color, one.dash, one.hidden, has_band(one)]);
    return JSON.stringify([log_x, log_y, smoothing > 0, y_max, y_min_zero, looks]);
  }

  private figure({ curves, label, binary, y_max, y_min_zero }: Shown): Figure {
    const { axis, sync, view } = this.group;
    return { axis, sync, view: view.getState(), curves, label, binary, y_max, y_min_zero, color: (name) => this.color(name) };
  }

  private color(name: string): string {
    const known = this.colors.get(name);
    if (known !== undefined) return known;
    const color = color_of(this.places.canvas, name);
    this.colors.set(name, color);
    return color;
  }

  selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width <= 0) return;
    const range: Range = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    show_range(this.group, range);
  }

  drawn(plot: uPlot): void {
    this.found = draw_markers(plot, this.shown?.markers ?? [], (name) => this.color(name));
  }

  doubled(): void {
    follow(this.group);
  }

  pressed(plot: uPlot, event: MouseEvent): boolean {
    if (!event.shiftKey) return false;
    let before = event.clientX;
    const moved = (now: MouseEvent) => {
      pan(this.group, (before - now.clientX) / plot.over.clientWidth);
      before = now.clientX;
    };
    const released = () => {
      removeEventListener("mousemove", moved);
      removeEventListener("mouseup", released);
    };
    addEventListener("mousemove", moved);
    addEventListener("mouseup", released);
    return true;
  }

  private wheeled(event: WheelEvent): void {
    if (this.plot === null || !(event.ctrlKey || event.shiftKey)) return;
    event.preventDefault();
    const { left, width } = this.plot.over.getBoundingClientRect();
    const way = event.deltaY || event.deltaX;
    if (event.shiftKey) pan(this.group, way / width);
    else zoom(this.group, 1.0015 ** Math.max(-300, Math.min(300, way)), Math.min(1, Math.max(0, (event.clientX - left) / width)));
  }

  pointed(): void {
    this.tell();
  }

  // What is under the cursor, and without one the last value of each curve: text, which costs no drawing.
  private tell(): void {
    const { plot, shown } = this;
    if (plot === null || shown === null) return;
    const left = plot.cursor.left ?? -1;
    const index = left < 0 ? null : (plot.cursor.idx ?? null);
    if (index !== null || this.places.readout.textContent !== "") {
      this.places.readout.textContent = index === null ? "" : this.words(plot, shown, index, left);
      this.places.readout.parentElement?.classList.toggle("pointed", index !== null);
    }
    if (this.places.legend === null) return;
    const order = layers(shown.curves, this.group.view.getState().smoothing);
    this.places.legend.querySelectorAll("[data-value]").forEach((place, curve) => {
      const column = plot.data[1 + order.findIndex((one) => one.curve === curve && one.kind === "line")];
      const value = column?.[index ?? column.length - 1];
      const words = value == null ? "" : shown.say(value);
      if (place.textContent !== words) place.textContent = words;
    });
  }

  private words(plot: uPlot, { curves, say, bare }: Shown, index: number, left: number): string {
    const parts = [x_words(this.group.axis, plot.data[0][index] as number)];
    if (curves.length === 1) {
      const value = (kind: string) => {
        const at = layers(curves, this.group.view.getState().smoothing).findIndex((one) => one.kind === kind);
        return at < 0 ? null : (plot.data[at + 1]?.[index] ?? null);
      };
      const [mean, min, max, smooth] = ["line", "min", "max", "smooth"].map(value);
      if (mean != null) parts.push(say(mean));
      if (smooth != null) parts.push(`smoothed ${say(smooth)}`);
      if (min != null && max != null && min !== max) parts.push(`${bare(min)} to ${say(max)}`);
    }
    // Before what may find no room.
    const marked = nearest(this.found, left);
    if (marked !== null) parts.splice(Math.min(2, parts.length), 0, cluster_words(marked));
    return parts.join(" · ");
  }
}
