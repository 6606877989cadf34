// What is asked for: as it stands in the hash of the page, and as the bridge is asked. No elements here.

import { address } from "./api.js";
import { RANGES, nowMicros, rfc3339 } from "./times.js";

export const LEVELS = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
export const PAGES = [50, 100, 200];
const PAGE = 100;
const OFFSET_MAX = 2 ** 31 - 1;
const TEXTS = ["q", "service_name", "level", "trace_id"];
const METADATA = "metadata.";

// parameters: of the hash. What makes no sense there is left to the bridge to say, except for numbers.
export function read(parameters) {
  const asked = { start_time: "", end_time: "", last: "", as_of: "", sort: parameters.sort === "time" ? "time" : "" };
  for (const name of TEXTS) asked[name] = parameters[name] || "";
  if (parameters.last in RANGES) asked.last = parameters.last;
  else Object.assign(asked, { start_time: parameters.start_time || "", end_time: parameters.end_time || "" });
  asked.metadata = Object.entries(parameters)
    .filter(([name]) => name.startsWith(METADATA) && name !== METADATA)
    .map(([name, value]) => [name.slice(METADATA.length), value]);
  asked.limit = PAGES.includes(Number(parameters.limit)) ? Number(parameters.limit) : PAGE;
  const offset = /^\d{1,10}$/.test(parameters.offset || "") ? Number(parameters.offset) : 0;
  asked.offset = Math.min(offset, OFFSET_MAX);
  if (asked.offset) asked.as_of = parameters.as_of || "";
  return asked;
}

// The opposite of read.
export function hash(asked, view = "search") {
  const parameters = new URLSearchParams();
  for (const name of [...TEXTS, "start_time", "end_time", "last", "sort"]) {
    if (asked[name]) parameters.set(name, asked[name]);
  }
  for (const [key, value] of asked.metadata) parameters.set(METADATA + key, value);
  if (asked.limit !== PAGE) parameters.set("limit", asked.limit);
  if (asked.offset) {
    parameters.set("offset", asked.offset);
    if (asked.as_of) parameters.set("as_of", asked.as_of);
  }
  const text = parameters.toString();
  return `#${view}${text ? `?${text}` : ""}`;
}

export function whole(trace) {
  return hash({ ...read({}), trace_id: trace, sort: "time" });
}

// The address of an answer about these logs.
export function question(name, asked, more = {}, nowUs = nowMicros()) {
  const start = asked.last ? rfc3339(nowUs - RANGES[asked.last] * 1e6) : asked.start_time;
  const texts = Object.fromEntries(TEXTS.map((key) => [key, asked[key]]));
  const url = address(name, { ...texts, start_time: start, end_time: asked.end_time || asked.as_of, ...more });
  // Here an empty value is one to look for.
  for (const [key, value] of asked.metadata) url.searchParams.set(METADATA + key, value);
  return url;
}

// The same question with one condition more; the answer begins at its first page.
export function narrowed(asked, name, value) {
  const first = { ...asked, offset: 0, as_of: "" };
  if (!name.startsWith(METADATA)) return { ...first, [name]: value };
  const key = name.slice(METADATA.length);
  return { ...first, metadata: [...asked.metadata.filter(([other]) => other !== key), [key, value]] };
}

// The same question without one of its conditions.
export function widened(asked, name) {
  const first = { ...asked, offset: 0, as_of: "" };
  if (name === "time") return { ...first, last: "", start_time: "", end_time: "" };
  if (name === "trace_id") return { ...first, trace_id: "", sort: "" };
  if (!name.startsWith(METADATA)) return { ...first, [name]: "" };
  return { ...first, metadata: asked.metadata.filter(([key]) => METADATA + key !== name) };
}

// Which fields a refusal of the bridge names.
export function blamed(detail) {
  const found = /^(?:\$\.)?([a-z_]+(?:\.[^:]*)?)(?::|$)/.exec(detail)?.[1] || "";
  const name = found === "text" ? "q" : found;
  const known = [...TEXTS, "start_time", "end_time"].includes(name) || name.startsWith(METADATA);
  return known ? name : "";
}
