// Times: microseconds since 1970 as numbers here, RFC 3339 with an offset at the bridge, the browser's zone to people.

import { number } from "./i18n.js";

export const RANGES = { "15m": 900, "1h": 3600, "24h": 86400, "7d": 604800 };
const TIME = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

// NaN for what is no time.
export function micros(text) {
  const found = TIME.exec(text);
  if (!found) return NaN;
  const whole = found[1] ? text.replace(found[1], "") : text;
  const fraction = Number((found[1] || ".").slice(1, 7).padEnd(6, "0"));
  return Date.parse(whole.toUpperCase().replace(" ", "T")) * 1000 + fraction;
}

export function nowMicros() {
  return Date.now() * 1000;
}

const two = (value) => String(value).padStart(2, "0");

function parts(us) {
  const date = new Date(Math.floor(us / 1000));
  const day = `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return { date, day, time, fraction: String(((us % 1e6) + 1e6) % 1e6).padStart(6, "0") };
}

// RFC 3339 in the browser's zone; a fraction only where there is one.
export function rfc3339(us) {
  const { date, day, time, fraction } = parts(us);
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${day}T${time}${fraction === "000000" ? "" : `.${fraction}`}${zone}`;
}

// For <input type="datetime-local">, to the millisecond.
export function toLocal(text) {
  const us = micros(text);
  if (Number.isNaN(us)) return "";
  const { day, time, fraction } = parts(us);
  return `${day}T${time}${fraction.startsWith("000") ? "" : `.${fraction.slice(0, 3)}`}`;
}

export function fromLocal(value) {
  const ms = value ? new Date(value).getTime() : NaN;
  return Number.isNaN(ms) ? "" : rfc3339(ms * 1000);
}

// What people read: 2026-11-25 09:39:05.123; of what is no time the text itself.
export function stamp(text) {
  const us = micros(text);
  if (Number.isNaN(us)) return text;
  const { day, time, fraction } = parts(us);
  return `${day} ${time}.${fraction.slice(0, 3)}`;
}

export function timeOfDay(text) {
  const shown = stamp(text);
  return shown === text ? text : shown.slice(11);
}

export function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

// A distance in microseconds: 0.25 ms, 12 ms, 3.4 s, 2:05 min.
export function distance(us) {
  if (us === 0) return "0 ms";
  if (us < 1000) return `${number(us)} µs`;
  if (us < 1e6) return `${number(us / 1000, us < 1e4 ? 2 : us < 1e5 ? 1 : 0)} ms`;
  if (us < 6e7) return `${number(us / 1e6, us < 1e7 ? 2 : 1)} s`;
  const seconds = Math.round(us / 1e6);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)} min`;
  return `${number(Math.floor(seconds / 3600))}:${two(Math.floor((seconds % 3600) / 60))} h`;
}
