import { type RefObject, useEffect, useState } from "react";

// Of an element, in px; 0: it was not laid out yet.
export function use_width(place: RefObject<HTMLElement | null>): number {
  const [width, set_width] = useState(0);
  useEffect(() => {
    const box = place.current;
    if (box === null) return;
    const observer = new ResizeObserver(() => set_width(box.clientWidth));
    observer.observe(box);
    return () => observer.disconnect();
  }, [place]);
  return width;
}
