// The logs of one page, what can be done with them, and the way to the other pages.

import { h } from "./dom.js";
import { number, t, words } from "./i18n.js";
import { logRow, walkable } from "./logrow.js";
import { PAGES, hash, question, widened } from "./query.js";
import { finder } from "./text.js";

words({
  en: {
    "r.title": "Results", "r.count": "{from}–{to} of {total}", "r.page": "page {page} of {pages}", "r.size": "Logs per page",
    "r.newer": "‹ Previous", "r.older": "Next ›", "r.pages": "Pages", "r.ndjson": "NDJSON", "r.csv": "CSV",
    "r.export": "Export", "r.empty": "No log matches.", "r.empty-what": "Remove a filter, or look at a longer time.",
    "r.nothing": "There are no logs yet.", "r.nothing-what": "Write one, and it is found here at once.", "r.write": "Write a log",
    "r.all-time": "Search all time", "r.past": "The answer ends before this page.", "r.first": "To the first page",
    "r.short": "This page is shorter than asked for: its logs are long.",
    "r.missing": "Logs are missing here. Not asked: {services}",
  },
  zh: {
    "r.title": "结果", "r.count": "第 {from}–{to} 条，共 {total} 条", "r.page": "第 {page} / {pages} 页", "r.size": "每页条数",
    "r.newer": "‹ 上一页", "r.older": "下一页 ›", "r.pages": "分页", "r.ndjson": "NDJSON", "r.csv": "CSV",
    "r.export": "导出", "r.empty": "没有符合条件的日志。", "r.empty-what": "可以去掉某个条件，或放宽时间范围。",
    "r.nothing": "还没有日志。", "r.nothing-what": "写入一条，这里马上就能查到。", "r.write": "写入日志",
    "r.all-time": "搜索全部时间", "r.past": "结果不足这一页。", "r.first": "回到第一页",
    "r.short": "日志较长，本页条数少于所选条数。",
    "r.missing": "此处缺少部分日志。未能查询：{services}",
  },
});

// Where a page was reached from: pages may be shorter than their limit, so that it cannot be computed.
const before = new Map();

// answer: of the bridge. search: called with another question. narrow: see details().
export function results(asked, answer, { search, narrow }) {
  const gap = missing(answer);
  if (!answer.logs.length) return [gap, empty(asked, answer.total_count, search)];
  const find = finder(asked.q);
  const list = h("ol", { class: "logs" }, answer.logs.map((log) => logRow(log, { narrow, find })));
  return [gap, walkable(list), pager(asked, answer, search)];
}

// Of several log services one may be away: what is shown is not all then.
export function missing(answer) {
  return answer.missing ? h("p", { class: "notice", role: "status" }, t("r.missing", { services: answer.missing.join("; ") })) : null;
}

export function count(asked, answer) {
  const shown = answer.logs.length;
  if (!shown) return number(answer.total_count);
  const values = { from: number(asked.offset + 1), to: number(asked.offset + shown), total: number(answer.total_count) };
  const pages = Math.ceil(answer.total_count / asked.limit);
  const page = asked.offset / asked.limit + 1;
  // Where pages ended early their number says nothing.
  const place = Number.isInteger(page) && pages > 1 ? ` · ${t("r.page", { page: number(page), pages: number(pages) })}` : "";
  return t("r.count", values) + place;
}

function pager(asked, answer, search) {
  const next = asked.offset + answer.logs.length;
  // Logs that come meanwhile must not push others from one page to the next.
  const as_of = asked.as_of || (asked.end_time ? "" : answer.logs[0].timestamp);
  const older = next < answer.total_count ? { ...asked, offset: next, as_of } : null;
  const back = before.get(asked.offset) ?? Math.max(0, asked.offset - asked.limit);
  const newer = asked.offset ? { ...asked, offset: back, as_of: back ? asked.as_of : "" } : null;
  const goOlder = () => {
    before.set(next, asked.offset);
    search(older);
  };
  const size = h(
    "select",
    { "aria-label": t("r.size"), onchange: (event) => search({ ...asked, limit: Number(event.target.value), offset: 0, as_of: "" }) },
    PAGES.map((limit) => h("option", { value: limit }, number(limit))),
  );
  size.value = asked.limit;
  const early = older && answer.logs.length < asked.limit;
  return h(
    "nav", { class: "row pager", "aria-label": t("r.pages") },
    turn(newer, t("r.newer"), "prev", () => search(newer)), turn(older, t("r.older"), "next", goOlder),
    h("span", { class: "soft" }, count(asked, answer)), early ? h("span", { class: "soft" }, t("r.short")) : null,
    h("label", { class: "push" }, `${t("r.size")} `, size),
  );
}

// A link, so that it can be opened elsewhere; here it turns the page.
function turn(asked, text, rel, go) {
  if (!asked) return h("button", { type: "button", disabled: true }, text);
  const click = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go();
  };
  return h("a", { class: "button", rel, href: hash(asked), onclick: click }, text);
}

function empty(asked, total, search) {
  if (total && asked.offset) {
    const first = () => search({ ...asked, offset: 0, as_of: "" });
    return notice("r.past", "", h("button", { type: "button", onclick: first }, t("r.first")));
  }
  const bare = hash({ ...asked, limit: 100, sort: "" }) === "#search";
  if (bare) return notice("r.nothing", "r.nothing-what", h("a", { class: "button", href: "#write" }, t("r.write")));
  const timed = asked.last || asked.start_time || asked.end_time;
  const all = h("button", { type: "button", onclick: () => search(widened(asked, "time")) }, t("r.all-time"));
  return notice("r.empty", "r.empty-what", timed ? all : null);
}

function notice(title, what, button) {
  return h("div", { class: "empty nothing" }, h("p", {}, h("b", {}, t(title))), what ? h("p", {}, t(what)) : null, button);
}

// Plain links: the browser saves what comes. They may be taken before the whole answer has been seen.
export function exports(asked) {
  const link = (format) =>
    h("a", { class: "button", download: `logs.${format}`, href: question("export", asked, { format }) }, t(`r.${format}`));
  return [h("span", { class: "soft" }, t("r.export")), link("ndjson"), link("csv")];
}
