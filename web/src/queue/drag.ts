// A row is dragged by its grip; by pointer events, which fingers make, too.
import { type PointerEvent, type RefObject, useEffect, useMemo, useRef, useState } from "react";
import { landing } from "./order";

export interface Drag {
  id: string;
  place: number; // among the others
}

const EDGE = 60; // px from the top and the bottom of the window, where it scrolls
const SCROLL = 12;

function scroll_at(y: number): void {
  if (y < EDGE) scrollBy(0, -SCROLL);
  if (y > innerHeight - EDGE) scrollBy(0, SCROLL);
}

// Handlers of every grip; they know the row that they are in.
export interface Grip {
  onPointerDown: (event: PointerEvent) => void;
  onPointerMove: (event: PointerEvent) => void;
  onPointerUp: (event: PointerEvent) => void;
  onPointerCancel: () => void;
}

const row_of = ({ currentTarget }: PointerEvent) => currentTarget.closest<HTMLElement>("[data-id]")?.dataset["id"];

export function use_drag(body: RefObject<HTMLElement | null>, drop: (drag: Drag) => void): { drag: Drag | null; grip: Grip } {
  const [drag, set_drag] = useState<Drag | null>(null);
  const latest = useRef({ id: drag?.id, drop });
  latest.current = { id: drag?.id, drop };
  const is_dragging = drag !== null;
  useEffect(() => {
    if (!is_dragging) return;
    const give_up = ({ key }: KeyboardEvent) => key === "Escape" && set_drag(null);
    addEventListener("keydown", give_up);
    return () => removeEventListener("keydown", give_up);
  }, [is_dragging]);
  const grip = useMemo((): Grip => {
    const place_at = (id: string, y: number) => {
      const others = [...(body.current?.children ?? [])].filter((row) => (row as HTMLElement).dataset["id"] !== id);
      return landing(others.map((row) => row.getBoundingClientRect()).map(({ top, height }) => top + height / 2), y);
    };
    return {
      onPointerDown: (event) => {
        const id = row_of(event);
        if (event.button !== 0 || id === undefined) return;
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        set_drag({ id, place: place_at(id, event.clientY) });
      },
      onPointerMove: ({ clientY }) => {
        const { id } = latest.current;
        if (id === undefined) return;
        scroll_at(clientY);
        set_drag({ id, place: place_at(id, clientY) });
      },
      onPointerUp: ({ clientY }) => {
        const { id, drop: let_go } = latest.current;
        if (id === undefined) return;
        set_drag(null);
        let_go({ id, place: place_at(id, clientY) });
      },
      onPointerCancel: () => set_drag(null),
    };
  }, [body]);
  return { drag, grip };
}
