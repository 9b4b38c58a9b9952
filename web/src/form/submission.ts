// Sending the form: once, however often the button is pressed.
import { useMutation } from "@tanstack/react-query";
import { useRef } from "react";
import { post, Refusal } from "../api/client";
import type { NewTraining, TrainingOrGroup } from "../api/schema";
import { training_link } from "../router";

// crypto.randomUUID is only there on https and localhost.
export function new_key(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, "$1-$2-4$3-8$4-$5");
}

export function place_after(made: TrainingOrGroup): string {
  return "group_id" in made && "data" in made ? `#/trainings?group=${encodeURIComponent(made.group_id)}` : training_link((made as { id: string }).id);
}

const NOTHING = { text: "", key: "" };

export function use_submission(done: () => void) {
  const last = useRef(NOTHING);
  const under_way = useRef(false); // a second click comes before the button is drawn as disabled
  const sending = useMutation({
    mutationFn: ({ text, key }: typeof NOTHING) =>
      post<TrainingOrGroup>("trainings", JSON.parse(text) as NewTraining, undefined, { "Idempotency-Key": key }),
    onSuccess: (made) => {
      last.current = NOTHING;
      location.hash = place_after(made);
      done();
    },
    // What was answered is over; what was not may have been done, and is asked for again by the same key.
    onError: (error) => {
      if (error instanceof Refusal) last.current = NOTHING;
    },
    onSettled: () => {
      under_way.current = false;
    },
  });
  const send = (request: NewTraining) => {
    if (under_way.current) return;
    under_way.current = true;
    const text = JSON.stringify(request);
    if (last.current.text !== text) last.current = { text, key: new_key() };
    sending.mutate(last.current);
  };
  return { send, pending: sending.isPending, error: sending.error, sent: sending.variables?.text };
}
