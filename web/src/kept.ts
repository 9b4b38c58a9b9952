// Choices that this browser keeps.
import { useState } from "react";

export function kept<Option extends string>(key: string, options: readonly Option[], otherwise: Option): Option {
  const found = localStorage.getItem(key);
  return options.find((one) => one === found) ?? otherwise;
}

export function use_kept<Option extends string>(key: string, options: readonly Option[], otherwise: Option): [Option, (chosen: Option) => void] {
  const [chosen, set_chosen] = useState(() => kept(key, options, otherwise));
  const choose = (one: Option) => {
    localStorage.setItem(key, one);
    set_chosen(one);
  };
  return [chosen, choose];
}
