import { useEffect, useState } from "react";
import type { ChartGroup } from "./group";
import type { Range } from "./range";

const SETTLED_MS = 300; // a range that is still being moved is not asked for

// What the reader looks at, once it stands still.
export function use_settled(group: ChartGroup): Range | null {
  const [settled, set_settled] = useState({ group, range: group.view.getState().range });
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const settle = (range: Range | null) => set_settled({ group, range });
    settle(group.view.getState().range);
    const end = group.view.subscribe(({ range }) => {
      clearTimeout(timer);
      timer = setTimeout(() => settle(range), range === null ? 0 : SETTLED_MS);
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [group]);
  // A range of another axis is none of this one.
  return settled.group === group ? settled.range : null;
}
