// Light or dark: the system's, or what the reader chose, kept in this browser.
import { create } from "zustand";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];
const KEY = "saemill-theme";

function stored(): Theme {
  const found = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === found) ?? "system";
}

// drawn: counts up when colors change, for what is drawn on a canvas.
export const use_theme = create<{ theme: Theme; drawn: number }>(() => ({ theme: "system", drawn: 0 }));

export function set_theme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  use_theme.setState(({ drawn }) => ({ theme, drawn: drawn + 1 }));
}

export function start_theme(): void {
  set_theme(stored());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    use_theme.setState(({ drawn }) => ({ drawn: drawn + 1 })),
  );
}
