// Fingers on a figure: two zoom and move, one moves what is zoomed. Where there is nothing to move, it reads the values.
// The browser keeps what goes up or down, with which the page scrolls (touch-action in charts.css), and then cancels here.
import { type ChartGroup, show_range, shown_range } from "./group";
import { type Range, stretched } from "./range";

interface Held {
  range: Range; // that was shown
  at: readonly number[]; // where the fingers were, as parts of the width
}

export interface Touched {
  area(): Pick<DOMRect, "left" | "width"> | null; // null: nothing is drawn yet
  read(clientX: number): void;
}

export class Fingers {
  private readonly x = new Map<number, number>(); // by pointer, in px
  private held: Held | null = null;
  private before: Range | null = null; // the view before the first finger came

  constructor(
    private readonly group: ChartGroup,
    private readonly touched: Touched,
  ) {}

  // What the listeners are on stays, whatever is drawn in it.
  listen(place: HTMLElement): () => void {
    const moved = (event: PointerEvent) => this.moved(event);
    const up = (event: PointerEvent) => this.up(event);
    const down = (event: PointerEvent) => this.down(event);
    const cancelled = (event: PointerEvent) => this.cancelled(event);
    const all = [["pointerdown", down], ["pointermove", moved], ["pointerup", up], ["pointercancel", cancelled]] as const;
    for (const [type, listener] of all) place.addEventListener(type, listener);
    return () => {
      for (const [type, listener] of all) place.removeEventListener(type, listener);
    };
  }

  down({ pointerType, pointerId, isPrimary, clientX }: PointerEvent): void {
    if (pointerType !== "touch") return;
    if (isPrimary) {
      this.x.clear(); // the end of one whose element is gone is not told
      this.before = this.group.view.getState().range;
    }
    this.x.set(pointerId, clientX);
    this.hold();
  }

  moved({ pointerId, clientX }: PointerEvent): void {
    if (!this.x.has(pointerId)) return;
    this.x.set(pointerId, clientX);
    const at = this.parts();
    if (this.held === null || at === null) return;
    const { range, log_x } = this.group.view.getState();
    if (at.length > 1 || range !== null) show_range(this.group, stretched(this.held.range, this.held.at, at, log_x));
    else this.touched.read(clientX);
  }

  up({ pointerId }: PointerEvent): void {
    if (this.x.delete(pointerId)) this.hold();
  }

  // The page scrolls: what it moved here until that was clear is taken back.
  cancelled(event: PointerEvent): void {
    if (this.x.has(event.pointerId)) this.group.view.setState({ range: this.before });
    this.up(event);
  }

  // From here on, whenever a finger comes or goes.
  private hold(): void {
    const range = shown_range(this.group);
    const at = this.parts();
    this.held = range === null || at === null || at.length === 0 ? null : { range, at };
  }

  private parts(): number[] | null {
    const area = this.touched.area();
    if (area === null || area.width === 0) return null;
    return [...this.x.values()].slice(0, 2).map((x) => (x - area.left) / area.width).sort((a, b) => a - b);
  }
}
