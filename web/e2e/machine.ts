// What the fake driver says (tests/fake_nvml/README.md): a machine of H200s, which a test changes as it likes.
export interface FakeProcess {
  pid: number;
  memory_used: number;
}

export interface FakeInstance {
  uuid: string;
  name: string;
  gpu_instance_id: number;
  compute_instance_id: number;
  memory_total: number;
  memory_used: number;
  processes: FakeProcess[];
}

export interface FakeGpu {
  uuid: string;
  utilization: number;
  memory_total: number;
  memory_used: number;
  temperature: number;
  power_draw: number;
  throttle: number;
  processes: FakeProcess[];
  mig?: FakeInstance[] | false;
  [name: string]: unknown;
}

export interface FakeEvent {
  at_s: number;
  gpu: number;
  xid?: number;
  lost?: boolean;
}

export interface Scenario {
  driver_version: string;
  nvml_version: string;
  gpus: FakeGpu[];
  events: FakeEvent[];
}

export function gpu_uuid(index: number): string {
  return `GPU-${index.toString(16).padStart(8, "0")}-1111-2222-3333-444444444444`;
}

function gpu(index: number): FakeGpu {
  return {
    uuid: gpu_uuid(index),
    name: "NVIDIA H200",
    pci_bus_id: `00000000:${(16 + index).toString(16).toUpperCase()}:00.0`,
    memory_total: 150_000_000_000,
    memory_used: 1_000_000 * (index + 1),
    memory_reserved: 600_000_000,
    utilization: index,
    memory_utilization: index + 1,
    temperature: 30 + index,
    power_draw: 70.5 + index,
    power_limit: 700,
    energy: 1000,
    fan_speed: 20 + index,
    clocks: { sm: 1980, memory: 2619 },
    throttle: 1,
    pcie: { tx: 5_000_000, rx: 8_000_000 },
    nvlink: { tx: 20_480_000, rx: 40_960_000 },
    ecc: { sbe: 3, dbe: 0, remapped: { correctable: 1, uncorrectable: 0, pending: false, failure: false } },
    numa: index < 8 ? 0 : 1,
    compute_mode: "default",
    processes: [],
  };
}

// Of the GPU of that index.
export function instance(gpu: number, index: number): FakeInstance {
  return {
    uuid: `MIG-${gpu}${index}000000-1111-2222-3333-444444444444`,
    name: "NVIDIA H200 MIG 3g.71gb",
    gpu_instance_id: index + 1,
    compute_instance_id: 0,
    memory_total: 75_000_000_000,
    memory_used: 100_000_000 * (index + 1),
    processes: [],
  };
}

export function machine_of(gpus: number): Scenario {
  return { driver_version: "570.86.10", nvml_version: "12.570.86", gpus: Array.from({ length: gpus }, (_, i) => gpu(i)), events: [] };
}
