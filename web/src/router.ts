// Pages by the hash of the address, which no server needs to know: #/trainings/ID?rank=1
import { useEffect, useSyncExternalStore } from "react";

export interface Place {
  path: string[];
  query: URLSearchParams;
}

export function place_of(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function subscribe(changed: () => void): () => void {
  addEventListener("hashchange", changed);
  return () => removeEventListener("hashchange", changed);
}

export function use_place(): Place {
  return place_of(useSyncExternalStore(subscribe, () => location.hash));
}

// Of the window, for tabs and screen readers.
export function use_title(words: string): void {
  useEffect(() => {
    document.title = `${words} – saemill`;
  }, [words]);
}

export function training_link(id: string): string {
  return `#/trainings/${encodeURIComponent(id)}`;
}

export function device_link(uuid: string): string {
  return `#/devices/${encodeURIComponent(uuid)}`;
}

// The form, filled with the configuration of a training that was.
export function new_link(from?: string): string {
  return from === undefined ? "#/new" : `#/new?from=${encodeURIComponent(from)}`;
}

export function compare_link(ids: readonly string[]): string {
  return `#/compare?ids=${ids.map(encodeURIComponent).join(",")}`;
}
