// Live data, outside React's state: the WebSocket writes, components select what they show.
import { useEffect } from "react";
import { create } from "zustand";
import type { Aggregate } from "../api/schema";
import { batched } from "./batch";
import { LiveConnection, type Message, type Phase, type Socket } from "./connection";
import { type DevicesState, NO_DEVICES, with_device_messages } from "./devices_state";
import { NO_TRAININGS, type TrainingsState, with_messages } from "./trainings_state";

export const use_phase = create<{ phase: Phase }>(() => ({ phase: "connecting" }));
export const use_devices = create<DevicesState>(() => NO_DEVICES);
export const use_aggregate = create<{ aggregate: Aggregate | null }>(() => ({ aggregate: null }));
export const use_trainings = create<TrainingsState>(() => NO_TRAININGS);

function open_socket(): Socket {
  return new WebSocket(`${location.origin.replace("http", "ws")}/ws`) as unknown as Socket;
}

export const live = new LiveConnection(open_socket, (phase) => {
  use_phase.setState({ phase });
  // A browser does not tell why a WebSocket was refused; REST does, and leads to the sign-in.
  if (phase === "lost")
    void fetch("/api/v1/server").then(
      (answer) => answer.status === 401 && location.replace("/login"),
      () => undefined,
    );
});

const into_devices = batched<Message>((messages) => use_devices.setState((state) => with_device_messages(state, messages, Date.now())));
const into_trainings = batched<Message>((messages) => use_trainings.setState((state) => with_messages(state, messages, Date.now())));

const nothing = () => undefined;
const devices_listener = { message: into_devices, reset: nothing };
const aggregate_listener = {
  message: ({ data }: Message) => use_aggregate.setState({ aggregate: data as Aggregate }),
  reset: nothing, // its ticks are the whole state
};

export function use_live_devices(): void {
  useEffect(() => live.subscribe("system/gpus", devices_listener), []);
}

export function use_live_aggregate(): void {
  useEffect(() => live.subscribe("system/aggregate", aggregate_listener), []);
}

export function use_live_trainings(reset: () => void): void {
  useEffect(() => live.subscribe("trainings", { message: into_trainings, reset }), [reset]);
}

// Progress of these, as a list of ids separated by blanks.
export function use_live_progress(ids: string): void {
  useEffect(() => {
    const ends = ids
      .split(" ")
      .filter((id) => id !== "")
      .map((id) => live.subscribe(`trainings/${id}/progress`, { message: into_trainings, reset: nothing }));
    return () => ends.forEach((end) => end());
  }, [ids]);
}
