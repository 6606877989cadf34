// All that is known of one log: its fields, its metadata, its JSON to copy.

import { h, toast } from "./dom.js";
import { t, words } from "./i18n.js";
import { whole } from "./query.js";
import { json, visible } from "./text.js";
import { stamp, zone } from "./times.js";

words({
  en: {
    "l.time": "Time", "l.stored": "as stored", "l.level": "Level", "l.service": "Service", "l.message": "Message",
    "l.trace": "Trace", "l.span": "Span", "l.id": "Log id", "l.metadata": "Metadata", "l.key": "Key",
    "l.value": "Value", "l.copy": "Copy as JSON", "l.copied": "Copied.", "l.not-copied": "The browser did not allow copying.",
    "l.whole": "Show the whole trace", "l.only": "Only this", "l.only-label": "Only logs with {name} {value}",
    "l.none": "none", "l.filter": "Filter",
  },
  zh: {
    "l.time": "时间", "l.stored": "原始值", "l.level": "级别", "l.service": "服务", "l.message": "内容",
    "l.trace": "Trace ID", "l.span": "Span ID", "l.id": "日志 ID", "l.metadata": "元数据", "l.key": "键",
    "l.value": "值", "l.copy": "复制为 JSON", "l.copied": "已复制。", "l.not-copied": "浏览器不允许复制。",
    "l.whole": "查看完整链路", "l.only": "只看此项", "l.only-label": "只看 {name} 为 {value} 的日志",
    "l.none": "无", "l.filter": "筛选",
  },
});

const TALL = 2000;
const TALL_LINES = 12;

// narrow: called with the name of a parameter and its value, to see only logs like this. find: see visible().
export function details(log, { narrow, find = null }) {
  const only = (name, value) => onlyButton(name, value, narrow);
  return h(
    "div",
    { class: "log-details" },
    h(
      "dl",
      { class: "log-fields" },
      entry("l.time", [h("span", {}, `${stamp(log.timestamp)} (${zone()})`), " ",
        h("small", {}, `${t("l.stored")}: `, h("span", { class: "mono" }, visible(log.timestamp)))]),
      entry("l.level", [h("span", { class: `log-level ${log.level}` }, visible(log.level)), only("level", log.level)]),
      entry("l.service", [raw(log.service_name), only("service_name", log.service_name)]),
      entry("l.trace", log.trace_id ? [raw(log.trace_id), traceLink(log.trace_id)] : [none()]),
      entry("l.span", log.span_id ? [raw(log.span_id)] : [none()]),
      entry("l.id", [raw(log.id)]),
      entry("l.message", [wholeMessage(log.message, find)]),
    ),
    metadata(log.metadata, only),
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => copy(json(log)) }, t("l.copy"))),
  );
}

function entry(name, value) {
  return h("div", {}, h("dt", {}, t(name)), h("dd", {}, value));
}

// A tall one scrolls, and so the keyboard must reach it.
function wholeMessage(text, find) {
  const tall = text.length > TALL || text.split("\n").length > TALL_LINES;
  const more = tall ? { tabindex: "0", role: "region", "aria-label": t("l.message") } : {};
  return h("pre", { class: tall ? "log-whole tall" : "log-whole", ...more }, visible(text, { find, lines: true }));
}

function raw(text) {
  return h("bdi", { class: "mono" }, visible(text));
}

function none() {
  return h("span", { class: "soft" }, t("l.none"));
}

function traceLink(trace) {
  return h("a", { class: "log-only", href: whole(trace) }, t("l.whole"));
}

function onlyButton(name, value, narrow) {
  if (!value && !name.startsWith("metadata.")) return null;
  const label = t("l.only-label", { name: name.replace(/^metadata\./, ""), value });
  const click = () => narrow(name, value);
  return h("button", { type: "button", class: "plain log-only", "aria-label": label, onclick: click }, t("l.only"));
}

function metadata(values, only) {
  const rows = Object.entries(values).map(([key, value]) =>
    h("tr", {}, h("th", { scope: "row" }, raw(key)), h("td", {}, raw(value)), h("td", {}, only(`metadata.${key}`, value))),
  );
  if (!rows.length) return null;
  const head = ["l.key", "l.value", "l.filter"].map((name) => h("th", { scope: "col" }, t(name)));
  return h(
    "table", { class: "log-metadata" },
    h("caption", {}, t("l.metadata")), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows),
  );
}

async function copy(text) {
  try {
    // Only pages over HTTPS and of this machine have a clipboard.
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyTheOldWay(text);
    toast(t("l.copied"));
  } catch {
    toast(t("l.not-copied"), "error");
  }
}

function copyTheOldWay(text) {
  const focused = document.activeElement;
  const area = h("textarea", { class: "off-screen", "aria-hidden": "true", value: text });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  if (!done) throw new Error("refused");
}
