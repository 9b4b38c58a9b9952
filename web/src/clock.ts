// The time, once a second for the whole page: who shows words of it is drawn again only when they change.
import { useEffect } from "react";
import { create } from "zustand";

const use_time = create<{ now: number }>(() => ({ now: Date.now() }));

// For the one place that is on every page.
export function use_ticks(): void {
  useEffect(() => {
    const tick = () => use_time.setState({ now: Date.now() });
    tick();
    const timer = setInterval(tick, 1000);
    return () => clearInterval(timer);
  }, []);
}

export function use_words_of_now(words: (now: number) => string): string {
  return use_time(({ now }) => words(now));
}
