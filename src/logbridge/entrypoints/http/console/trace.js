// All logs of one trace, oldest first: when each came after the first one, in which span, from which service.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { number, t, words } from "./i18n.js";
import { logRow, walkable } from "./logrow.js";
import { question } from "./query.js";
import { missing } from "./results.js";
import { finder, plain, visible } from "./text.js";
import { distance, micros, stamp } from "./times.js";

words({
  en: {
    "t.summary": "{logs} logs of {services} services in {time}, from {start}.", "t.cut": "Only the newest {shown} of {total} logs are shown.",
    "t.spans": "Spans", "t.logs": "{n} logs", "t.no-span": "without a span", "t.bar": "starts at {start}, lasts {time}",
    "t.newest": "As search results",
  },
  zh: {
    "t.summary": "{services} 个服务的 {logs} 条日志，历时 {time}，始于 {start}。", "t.cut": "共 {total} 条，仅显示最新的 {shown} 条。",
    "t.spans": "Span 列表", "t.logs": "{n} 条日志", "t.no-span": "无 Span", "t.bar": "{start} 开始，持续 {time}",
    "t.newest": "按搜索结果查看",
  },
});

const LOGS_MAX = 2000;
const PAGE = 1000;
const DEPTH_MAX = 6;
const MARKS = ["●", "■", "▲", "◆", "★", "▼", "✚", "⬟"];

// The answer to a question about a trace: as many pages as it takes, up to 2,000 logs.
export async function wholeTrace(asked, signal) {
  const logs = [];
  for (;;) {
    const page = await ask(question("query", asked, { limit: PAGE, offset: logs.length }), { signal });
    logs.push(...page.logs);
    if (!page.logs.length || logs.length >= page.total_count || logs.length >= LOGS_MAX) {
      return { logs: byTime(logs), total_count: page.total_count, missing: page.missing };
    }
  }
}

// Oldest first; of the same microsecond in the order in which they were stored.
export function byTime(logs) {
  return [...logs].reverse().sort((one, other) => micros(one.timestamp) - micros(other.timestamp) || 0);
}

// Spans in the order of their beginning. A span within the time of another one stands under it.
export function spansOf(logs) {
  const spans = new Map();
  for (const log of logs) {
    const at = micros(log.timestamp);
    const span = spans.get(log.span_id) || { id: log.span_id, start: at, end: at, count: 0, services: new Set() };
    span.end = Math.max(span.end, at);
    span.count += 1;
    span.services.add(log.service_name);
    spans.set(log.span_id, span);
  }
  const listed = [...spans.values()].sort((one, other) => one.start - other.start || other.end - one.end);
  const open = [];
  for (const span of listed) {
    while (open.length && !(span.end <= open.at(-1).end)) open.pop();
    span.depth = span.id ? Math.min(open.length, DEPTH_MAX) : 0;
    if (span.id) open.push(span);
  }
  return listed;
}

export function timeline(asked, answer, { narrow, back }) {
  const { logs } = answer;
  const spans = spansOf(logs);
  const depths = new Map(spans.map((span) => [span.id, span.depth]));
  const names = [...new Set(logs.map((log) => log.service_name))];
  const first = micros(logs[0].timestamp);
  const length = micros(logs.at(-1).timestamp) - first;
  const find = finder(asked.q);
  const rows = logs.map((log) => {
    const time = `+${distance(micros(log.timestamp) - first)}`;
    const row = logRow(log, { time, service: serviceName(log.service_name, names), narrow, find });
    row.classList.add(`depth-${depths.get(log.span_id)}`);
    return row;
  });
  const values = {
    logs: number(logs.length), services: number(names.length), time: distance(length), start: stamp(logs[0].timestamp),
  };
  const cut = logs.length < answer.total_count;
  return [
    h("div", { class: "row trace-summary" }, h("p", {}, t("t.summary", values)), h("button", { type: "button", class: "push", onclick: back }, t("t.newest"))),
    missing(answer),
    cut ? h("p", { class: "notice" }, t("t.cut", { shown: number(logs.length), total: number(answer.total_count) })) : null,
    spanList(spans, names, first, Math.max(length, 1)),
    walkable(h("ol", { class: "logs timeline" }, rows)),
  ];
}

// A colour, a shape and the word: none of them alone.
function serviceName(name, names) {
  const at = names.indexOf(name) % MARKS.length;
  return h("span", { class: `log-service service-${at}` }, h("span", { class: "service-mark", "aria-hidden": "true" }, MARKS[at]), " ", h("bdi", {}, visible(name)));
}

function spanList(spans, names, first, length) {
  const rows = spans.map((span) => {
    const start = ((span.start - first) / length) * 100;
    const bar = h("span", { class: "span-bar" });
    bar.style.insetInlineStart = `${start}%`;
    bar.style.inlineSize = `${Math.max(((span.end - span.start) / length) * 100, 0.5)}%`;
    const times = t("t.bar", { start: `+${distance(span.start - first)}`, time: distance(span.end - span.start) });
    return h(
      "li", { class: `depth-${span.depth}` },
      h("span", { class: "span-name" }, [...span.services].slice(0, 1).map((name) => serviceName(name, names)), " ",
        h("bdi", { class: "mono", title: plain(span.id) }, span.id ? visible(span.id) : t("t.no-span"))),
      h("span", { class: "span-track", "aria-hidden": "true" }, bar),
      h("small", {}, `${times} · ${t("t.logs", { n: number(span.count) })}`),
    );
  });
  return h("details", { class: "spans", open: spans.length <= 12 }, h("summary", {}, `${t("t.spans")} (${number(spans.length)})`), h("ol", {}, rows));
}
