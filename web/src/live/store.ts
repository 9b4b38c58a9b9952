// Live data, outside React's state: the WebSocket writes, components select what they show.
import { useEffect } from "react";
import { create } from "zustand";
import { get } from "../api/client";
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
  if (phase === "lost") void get("server").catch(() => undefined);
});

const into_devices = batched<Message>((messages) => use_devices.setState((state) => with_device_messages(state, messages, Date.now())));
export const into_trainings = batched<Message>((messages) => use_trainings.setState((state) => with_messages(state, messages, Date.now())));

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
