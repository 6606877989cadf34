// The search: filters, a histogram, and the logs that match. All that is asked stands in the hash of the page.

import { ask, reach } from "./api.js";
import { h, replace } from "./dom.js";
import { conditionsOf, remember, searchForm } from "./filters.js";
import { histogram } from "./histogram.js";
import { t, words } from "./i18n.js";
import { slashFocuses } from "./logrow.js";
import { blamed, hash, narrowed, question, read } from "./query.js";
import { count, exports, results } from "./results.js";
import { timeline, wholeTrace } from "./trace.js";

words({
  en: {
    "s.searching": "Searching…", "s.failed": "The search failed: {why}", "s.unasked": "The bridge does not accept this: {why}",
    "s.401": "The session has ended. Load the page again to log in.", "s.501": "This bridge cannot be asked for logs: {why}",
    "s.0": "The bridge does not answer: {why}", "s.reload": "Load again", "s.retry": "Try again", "s.follow": "Follow live",
    "s.trace": "Trace",
  },
  zh: {
    "s.searching": "正在搜索…", "s.failed": "搜索失败：{why}", "s.unasked": "条件有误：{why}",
    "s.401": "会话已结束，请重新加载页面并登录。", "s.501": "当前服务不支持查询日志：{why}",
    "s.0": "服务没有响应：{why}", "s.reload": "重新加载", "s.retry": "重试", "s.follow": "实时跟踪",
    "s.trace": "链路",
  },
});

// Whether this bridge exports; asked once.
let exporting = null;

export function mount(root, parameters) {
  let asked = read(parameters);
  let running = new AbortController();
  const status = h("span", { role: "status", class: "result-count" });
  const title = h("h2", {}, t("r.title"));
  const tools = h("div", { class: "row push" });
  const conditions = h("div", {});
  const list = h("div", { class: "result-list" });
  const form = searchForm(asked, search);
  const chart = histogram((start, end) => search({ ...asked, last: "", start_time: start, end_time: end, offset: 0, as_of: "" }));
  const narrow = (name, value) => search(narrowed(asked, name, value));

  // Another question: it goes into the hash without a new page, and so into the history.
  function search(question) {
    asked = question;
    if (hash(asked) !== location.hash) history.pushState(null, "", hash(asked));
    form.fill(asked);
    run();
  }

  async function run() {
    running.abort();
    const mine = (running = new AbortController());
    const inTime = asked.sort === "time" && asked.trace_id;
    list.setAttribute("aria-busy", "true");
    status.textContent = t("s.searching");
    title.textContent = t(inTime ? "s.trace" : "r.title");
    replace(conditions, conditionsOf(asked, search));
    replace(tools, follow());
    chart.element.hidden = Boolean(inTime);
    if (!inTime) chart.show(asked, mine.signal);
    try {
      const answer = await (inTime ? wholeTrace(asked, mine.signal) : page(asked, mine.signal));
      if (mine.signal.aborted) return;
      show(answer, inTime);
    } catch (error) {
      if (error.name === "AbortError" || mine.signal.aborted) return;
      fail(error);
    }
    list.removeAttribute("aria-busy");
  }

  function show(answer, inTime) {
    answer.logs.forEach(remember);
    status.textContent = count(asked, answer);
    const back = () => search({ ...asked, sort: "" });
    const shown = inTime && answer.logs.length ? timeline(asked, answer, { narrow, back }) : results(asked, answer, { search, narrow });
    replace(list, shown);
    offer(answer);
  }

  function offer(answer) {
    const now = asked;
    if (answer.logs.length) canExport().then((can) => can && now === asked && replace(tools, exports(asked), follow()));
  }

  function follow() {
    return h("a", { class: "button", href: hash({ ...read({}), ...filtersOf(asked) }, "tail") }, t("s.follow"));
  }

  function fail(error) {
    const name = error.status === 400 || error.status === 422 ? blamed(error.message) : "";
    const key = { 0: "s.0", 400: "s.unasked", 401: "s.401", 422: "s.unasked", 501: "s.501" }[error.status] || "s.failed";
    const text = t(key, { why: error.message });
    const again = error.status === 401 ? () => location.reload() : run;
    const button = h("button", { type: "button", onclick: again }, t(error.status === 401 ? "s.reload" : "s.retry"));
    status.textContent = "";
    replace(list, h("div", { class: "notice error", role: "alert" }, h("p", {}, text), name || error.status === 501 ? null : button));
    if (name) form.blame(name, text);
  }

  replace(
    root,
    form.element,
    chart.element,
    h("section", { class: "card results", "aria-label": t("r.title") }, h("div", { class: "row" }, title, status, tools), conditions, list),
  );
  const noSlash = slashFocuses(form.text);
  run();
  return () => {
    running.abort();
    chart.close();
    noSlash();
  };
}

function page(asked, signal) {
  return ask(question("query", asked, { limit: asked.limit, offset: asked.offset }), { signal });
}

function filtersOf({ q, service_name, level, trace_id, metadata }) {
  return { q, service_name, level, trace_id, metadata };
}

async function canExport() {
  if (exporting === null) {
    const answer = await reach(question("export", read({}), { format: "csv", limit: 1 }), { method: "HEAD" }).catch(() => null);
    if (!answer) return false;
    exporting = answer.ok;
  }
  return exporting;
}
