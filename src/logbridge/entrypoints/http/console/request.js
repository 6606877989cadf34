// What the form holds, kept for as long as the tab is open, and the request that it makes.

import { integer, object, wrongJson } from "./curl.js";
import { t } from "./i18n.js";
import "./write-words.js";

const KEPT = "logbridge-write";
export const TEXTS = ["service_name", "trace_id", "span_id", "monitor_type", "timestamp", "log_id"];
export const INTEGERS = ["adv_id", "aweme_id", "plan_id", "co_id"];

export function empty() {
  return { mode: "one", fields: { message: "", level: "INFO" }, pairs: [["", ""]], asJson: false, json: "", entries: "", durable: false };
}

export function load() {
  try {
    return { ...empty(), ...JSON.parse(sessionStorage.getItem(KEPT)) };
  } catch {
    return empty();
  }
}

export function keep(state) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(state));
  } catch {
    // Full, or forbidden: then it is not kept.
  }
}

// The request of the form: {name, text, headers, wrong}; wrong: {field, why} if it cannot even be made.
export function request(state) {
  const headers = state.durable ? { prefer: "respond-async" } : {};
  const made = state.mode === "batch" ? batch(state) : one(state);
  return { headers, wrong: null, ...made };
}

function batch({ entries }) {
  const why = wrongJson(entries || "[]", "array", sayings());
  return { name: "batch", text: object([["log_entries", entries || "[]"]]), wrong: why ? { field: "entries", why } : null };
}

// Fields that are empty are left out; only the message never is, so that the bridge can say what is wrong with it.
function one(state) {
  const { fields } = state;
  const members = [["message", JSON.stringify(fields.message)], ["level", JSON.stringify(fields.level)]];
  for (const name of TEXTS) if (fields[name]) members.push([name, JSON.stringify(fields[name])]);
  for (const name of INTEGERS) if (fields[name]?.trim()) members.push([name, integer(fields[name].trim())]);
  const { json, why } = metadata(state);
  if (json) members.push(["metadata", json]);
  return { name: "write", text: object(members), wrong: why ? { field: "metadata", why } : null };
}

function metadata({ asJson, json, pairs }) {
  if (asJson) return json.trim() ? { json, why: wrongJson(json, "object", sayings()) } : { json: "", why: "" };
  const filled = pairs.filter(([name, value]) => name || value);
  const names = filled.map(([name]) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  return {
    json: filled.length ? object(filled.map(([name, value]) => [name, JSON.stringify(value)])) : "",
    why: twice === undefined ? "" : t("wr-twice", { name: twice }),
  };
}

function sayings() {
  return { json: t("wr-not-json"), object: t("wr-not-object"), array: t("wr-not-array") };
}

// Which field an error of the bridge speaks of: "$.adv_id: Expected …" → "adv_id"; "" if of none.
export function fieldOf(status, why) {
  if (status === 409) return "log_id";
  return why.match(/^\$\.([A-Za-z_]\w*)/)?.[1] ?? "";
}

// Where the search finds what was written.
export function findable(state) {
  const { fields, mode } = state;
  const parameters = new URLSearchParams();
  if (mode === "one") {
    if (fields.trace_id) parameters.set("trace_id", fields.trace_id);
    else parameters.set("q", fields.message.slice(0, 200));
    if (fields.service_name) parameters.set("service_name", fields.service_name);
  } else common(parameters, JSON.parse(state.entries || "[]"));
  return `#search?${parameters}`;
}

// What all of a batch share.
function common(parameters, entries) {
  for (const name of ["service_name", "trace_id"]) {
    const values = new Set(entries.map((entry) => entry?.[name]));
    const [value] = values;
    if (values.size === 1 && typeof value === "string" && value) parameters.set(name, value);
  }
}
