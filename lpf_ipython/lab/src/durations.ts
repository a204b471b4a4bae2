/** Spans of time as people write and read them; see lpf_ipython/durations.py. */

const UNITS: Readonly<Record<string, number>> = {
  us: 1e-6,
  µs: 1e-6,
  ms: 1e-3,
  s: 1,
  sec: 1,
  min: 60,
  m: 60,
  h: 3600,
  d: 86400
};

/** The seconds in "500ms", "2 s" or "1m30s"; a bare number is seconds. Null if it is none. */
export function parse(written: string): number | null {
  const text = written.trim();
  if (/^\d+(\.\d+)?$/.test(text)) {
    return Number(text);
  }
  const parts = [...text.matchAll(/\s*(\d+(?:\.\d+)?)\s*([a-zµ]+)\s*/gy)];
  if (parts.length === 0 || parts.map(part => part[0]).join('') !== text) {
    return null;
  }
  let seconds = 0;
  for (const [, number, name] of parts) {
    const unit = UNITS[name ?? ''];
    if (unit === undefined) {
      return null;
    }
    seconds += Number(number) * unit;
  }
  return seconds;
}

/** A span of time in three digits: "500 ms", "1.25 s", "12 min 5 s". */
export function show(seconds: number): string {
  if (seconds >= 3600) {
    const minutes = Math.floor(seconds / 60);
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }
  if (seconds >= 60) {
    return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  }
  return seconds >= 1 ? `${digits(seconds)} s` : `${digits(seconds * 1e3)} ms`;
}

function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** For a clock that goes on: whole seconds. */
export function showRunning(seconds: number): string {
  return seconds >= 60 ? show(seconds) : `${Math.floor(seconds)} s`;
}
