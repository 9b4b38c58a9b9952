// Numbers, sizes and times as people read them: always with a unit, absent as a dash.
export const ABSENT = "–";
type Maybe = number | null | undefined;

// Made once: toLocaleString makes one each time, which charts feel.
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const GROUPED = new Intl.NumberFormat("en");

const absent = (value: Maybe): value is null | undefined => value === undefined || value === null || !Number.isFinite(value);

export function gib(bytes: Maybe): string {
  return absent(bytes) ? ABSENT : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

// Files, of which many are small.
export function bytes(count: Maybe): string {
  if (absent(count)) return ABSENT;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit + 1 < units.length) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

export function rounded(value: Maybe, unit: string): string {
  return absent(value) ? ABSENT : `${value.toFixed(0)} ${unit}`;
}

export function percent(value: Maybe): string {
  return rounded(value, "%");
}

export function share(part: Maybe, whole: Maybe): number | undefined {
  return absent(part) || absent(whole) || whole <= 0 ? undefined : Math.min(100, Math.max(0, (100 * part) / whole));
}

// Metrics: four digits, whatever their size.
export function metric(value: Maybe): string {
  if (absent(value)) return ABSENT;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return size >= 1000 ? WHOLE.format(value) : String(Number(value.toPrecision(4)));
}

export function count(value: Maybe): string {
  return absent(value) ? ABSENT : GROUPED.format(value);
}

export function duration(seconds: Maybe): string {
  if (absent(seconds)) return ABSENT;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

const two = (value: number) => String(value).padStart(2, "0");

// Times are told in the reader's zone.
export function day_of(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export function clock_of(date: Date, with_seconds: boolean): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}${with_seconds ? `:${two(date.getSeconds())}` : ""}`;
}

// Of a text, or of epoch seconds.
export function moment(time: string | number | undefined): string {
  if (time === undefined) return ABSENT;
  const date = new Date(typeof time === "number" ? 1000 * time : time);
  return Number.isNaN(date.getTime()) ? ABSENT : `${day_of(date)} ${clock_of(date, true)}`;
}

export function uuid_tail(uuid: string): string {
  return uuid.length <= 16 ? uuid : `…${uuid.slice(-8)}`;
}

// Nested tables as dotted keys, in their order.
export function flattened(config: Record<string, unknown>, prefix = ""): [string, string][] {
  return Object.entries(config).flatMap(([name, value]): [string, string][] => {
    const key = prefix + name;
    if (value !== null && typeof value === "object" && !Array.isArray(value))
      return flattened(value as Record<string, unknown>, `${key}.`);
    return [[key, typeof value === "string" && value !== "" ? value : JSON.stringify(value)]];
  });
}
