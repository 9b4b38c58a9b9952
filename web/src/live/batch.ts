// What comes often is shown four times a second at most.
const PERIOD_MS = 250;

export function batched<Item>(apply: (items: Item[]) => void, period_ms = PERIOD_MS): (item: Item) => void {
  let items: Item[] = [];
  let last = 0;
  const flush = () => {
    const ready = items;
    items = [];
    last = Date.now();
    apply(ready);
  };
  return (item) => {
    items.push(item);
    // Timers of a hidden page are slow: nothing may pile up.
    if (items.length === 1) setTimeout(flush, Math.max(0, last + period_ms - Date.now()));
  };
}
