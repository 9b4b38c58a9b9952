// Light or dark: the system's, or what the reader chose, kept in this browser.
import { create } from "zustand";
import { kept } from "./kept";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];
const KEY = "saemill-theme";

// drawn: counts up when colors change, for what is drawn on a canvas.
export const use_theme = create<{ theme: Theme; drawn: number }>(() => ({ theme: "system", drawn: 0 }));

export function set_theme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  use_theme.setState(({ drawn }) => ({ theme, drawn: drawn + 1 }));
}

export function start_theme(): void {
  set_theme(kept(KEY, THEMES, "system"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    use_theme.setState(({ drawn }) => ({ drawn: drawn + 1 })),
  );
}

// As a canvas can draw with it, which knows no variables; `host`: where it is drawn.
export function color_of(host: HTMLElement, variable: string): string {
  host.style.color = `var(${variable})`;
  const { color } = getComputedStyle(host);
  host.style.color = "";
  return color;
}
