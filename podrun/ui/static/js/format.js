// Numbers and times as a person reads them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 12345678 -> "11.8 MiB". */
export function bytes(count) {
  let unit = 0;
  let value = Number(count);
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** Seconds as kubectl prints an age: 45s, 3m12s, 5h, 12d. */
export function age(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  if (whole < 120) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 10) return whole % 60 ? `${minutes}m${whole % 60}s` : `${minutes}m`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}

/** How long ago an RFC 3339 time was. */
export const since = (time) => (time ? age((Date.now() - Date.parse(time)) / 1000) : "");

/** Microseconds: 850 µs, 12.4 ms, 1.25 s. */
export function micros(count) {
  if (count < 1000) return `${Math.round(count)} µs`;
  if (count < 1e6) return `${(count / 1000).toFixed(count < 1e4 ? 2 : 1)} ms`;
  return `${(count / 1e6).toFixed(count < 1e7 ? 2 : 1)} s`;
}

/** The time of day, to the second. */
export const clock = (time) => new Date(time).toLocaleTimeString([], { hour12: false });
