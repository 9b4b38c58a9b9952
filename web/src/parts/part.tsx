// Of a long list, as many rows as are quick to draw; more when asked for.
import { type ReactNode, useState } from "react";

const AT_ONCE = 100;

export function use_part<Item>(all: Item[]): [Item[], ReactNode] {
  const [count, set_count] = useState(AT_ONCE);
  const more = all.length > count && (
    <p>
      <button type="button" onClick={() => set_count(count + AT_ONCE)}>
        Show {Math.min(AT_ONCE, all.length - count)} more of {all.length}
      </button>
    </p>
  );
  return [all.length > count ? all.slice(0, count) : all, more];
}
