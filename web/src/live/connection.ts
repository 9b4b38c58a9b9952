// One WebSocket for the whole page. It comes back by itself; a channel of events goes on after the last one
// heard (since), or its subscriber is told to read REST again (reset).
export type Phase = "connecting" | "live" | "lost";

export interface Message {
  channel: string;
  event: string;
  seq: number;
  data: unknown;
}

export interface Listener {
  message(message: Message): void;
  // What happened before now may have been missed.
  reset(): void;
}

export interface Socket {
  onmessage: ((event: { data: string }) => void) | null;
  onclose: (() => void) | null;
  send(text: string): void;
  close(): void;
}

interface Channel {
  listeners: Set<Listener>;
  seq: number | null;
}

const LONGEST_WAIT_MS = 5000;
const SILENCE_MS = 30_000; // ticks come more often; a dead network closes nothing by itself

export class LiveConnection {
  private readonly channels = new Map<string, Channel>();
  private socket: Socket | null = null;
  private boot = "";
  private ready = false; // the server has said hello
  private attempt = 0;
  private watchdog: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly open_socket: () => Socket,
    private readonly on_phase: (phase: Phase) => void,
  ) {}

  start(): void {
    const socket = this.open_socket();
    this.socket = socket;
    this.watch(socket);
    socket.onmessage = ({ data }) => {
      this.watch(socket);
      const frame: unknown = JSON.parse(data);
      for (const message of (Array.isArray(frame) ? frame : [frame]) as Message[]) this.receive(message);
    };
    socket.onclose = () => this.lost(socket);
  }

  subscribe(name: string, listener: Listener): () => void {
    let channel = this.channels.get(name);
    if (channel === undefined) {
      channel = { listeners: new Set(), seq: null };
      this.channels.set(name, channel);
      this.say("subscribe", name);
    }
    channel.listeners.add(listener);
    return () => {
      channel.listeners.delete(listener);
      if (channel.listeners.size > 0 || this.channels.get(name) !== channel) return;
      this.channels.delete(name);
      this.say("unsubscribe", name);
    };
  }

  private say(op: string, channel: string, more: object = {}): void {
    if (this.ready) this.socket?.send(JSON.stringify({ op, channel, ...more }));
  }

  private receive(message: Message): void {
    if (message.event === "hello") return this.hello((message.data as { boot: string }).boot);
    const channel = this.channels.get(message.channel);
    if (channel === undefined) return;
    if (message.event === "reset") channel.listeners.forEach((listener) => listener.reset());
    if (message.event === "subscribed") channel.seq ??= message.seq;
    else channel.seq = Math.max(channel.seq ?? 0, message.seq);
    if (message.event === "reset") channel.seq = message.seq;
    if (message.event.includes(":")) channel.listeners.forEach((listener) => listener.message(message));
  }

  private hello(boot: string): void {
    const restarted = this.boot !== "" && this.boot !== boot;
    this.boot = boot;
    this.attempt = 0;
    this.ready = true;
    this.on_phase("live");
    for (const [name, channel] of this.channels) {
      // The seq of a training's own channels is that of its file, which survives a restart.
      if (restarted && !name.startsWith("trainings/")) channel.seq = null;
      this.say("subscribe", name, channel.seq === null ? {} : { since: channel.seq });
      // What was read before may be older than the first that is told from now on.
      if (channel.seq === null) channel.listeners.forEach((listener) => listener.reset());
    }
  }

  private lost(socket: Socket): void {
    if (this.socket !== socket) return;
    clearTimeout(this.watchdog);
    this.socket = null;
    this.ready = false;
    this.attempt += 1;
    this.on_phase("lost");
    setTimeout(() => this.start(), Math.min(LONGEST_WAIT_MS, 250 * 2 ** this.attempt));
  }

  private watch(socket: Socket): void {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => {
      socket.close();
      this.lost(socket);
    }, SILENCE_MS);
  }
}
