// The fields that say which logs: used by search and by the live tail.

import { field, h, replace } from "./dom.js";
import { t, words } from "./i18n.js";
import { session } from "./login.js";
import { LEVELS, widened } from "./query.js";
import { plain, visible } from "./text.js";
import { RANGES, fromLocal, micros, stamp, toLocal, zone } from "./times.js";

words({
  en: {
    "f.q": "Text in the message", "f.q-hint": "Letter case is ignored. Press / to come here.", "f.level": "Level",
    "f.any": "any", "f.service": "Service", "f.trace": "Trace id", "f.from": "From", "f.to": "To", "f.zone": "Times are in {zone}.",
    "f.more": "Time, trace and metadata", "f.more-tail": "Trace and metadata", "f.key": "Metadata key", "f.value": "Value", "f.add": "Add a metadata filter",
    "f.remove": "Remove this filter", "f.go": "Search", "f.ranges": "Time range", "f.15m": "15 min",
    "f.1h": "1 h", "f.24h": "24 h", "f.7d": "7 days", "f.all-time": "All", "f.key-needed": "A key is needed.",
    "f.order": "From is later than To.", "f.active": "Active filters", "f.without": "Remove the filter {text}",
    "f.since": "from {time}", "f.until": "to {time}", "f.last": "last {range}",
  },
  zh: {
    "f.q": "内容包含", "f.q-hint": "不区分大小写；按 / 键可跳到这里。", "f.level": "级别",
    "f.any": "不限", "f.service": "服务", "f.trace": "Trace ID", "f.from": "开始时间", "f.to": "结束时间", "f.zone": "时间均为 {zone} 时区。",
    "f.more": "时间、链路与元数据", "f.more-tail": "链路与元数据", "f.key": "元数据键", "f.value": "值", "f.add": "添加元数据条件",
    "f.remove": "删除此条件", "f.go": "搜索", "f.ranges": "时间范围", "f.15m": "15 分钟",
    "f.1h": "1 小时", "f.24h": "24 小时", "f.7d": "7 天", "f.all-time": "全部", "f.key-needed": "请填写键名。",
    "f.order": "开始时间晚于结束时间。", "f.active": "当前条件", "f.without": "移除条件 {text}",
    "f.since": "{time} 起", "f.until": "到 {time}", "f.last": "最近 {range}",
  },
});

// Services that were seen: offered when one types.
const services = new Set();

export function remember(log) {
  if (services.size < 200) services.add(log.service_name);
}

export function textInputs() {
  const input = (name, more = {}) => h("input", { name, autocomplete: "off", spellcheck: "false", ...more });
  const known = h("datalist", { id: "known-services" });
  const service = input("service_name", { list: "known-services" });
  service.addEventListener("focus", () => {
    const names = [...new Set([...session.services, ...services])].sort();
    replace(known, names.map((name) => h("option", { value: name })));
  });
  const q = input("q", { type: "search", enterkeyhint: "search" });
  return { q, service, trace: input("trace_id"), known };
}

// Any number of rows of a key and a value. changed: called when one is taken away.
export function metadataRows(changed) {
  const rows = h("div", { class: "metadata-rows" });
  const add = (key = "", value = "") => {
    const name = h("input", { name: "metadata-key", "aria-label": t("f.key"), placeholder: t("f.key"), value: key, autocomplete: "off" });
    const text = h("input", { name: "metadata-value", "aria-label": t("f.value"), placeholder: t("f.value"), value, autocomplete: "off" });
    const remove = () => {
      row.remove();
      more.focus();
      if (name.value) changed();
    };
    const cross = h("button", { type: "button", "aria-label": t("f.remove"), title: t("f.remove"), onclick: remove }, "✕");
    const row = h("div", { class: "metadata-row" }, name, h("span", { "aria-hidden": "true" }, "="), text, cross);
    name.addEventListener("input", () => name.setCustomValidity(""));
    rows.append(row);
    return name;
  };
  const more = h("button", { type: "button", onclick: () => add().focus() }, `＋ ${t("f.add")}`);
  return {
    element: h("div", { class: "metadata-filters" }, rows, more),
    fill: (pairs) => {
      replace(rows);
      for (const [key, value] of pairs) add(key, value);
    },
    // Pairs; null where a value has no key, which is then told.
    read: () => readRows(rows),
    find: (key) => [...rows.querySelectorAll("[name=metadata-key]")].find((input) => input.value === key),
  };
}

function readRows(rows) {
  const pairs = new Map();
  for (const row of rows.children) {
    const [name, text] = row.querySelectorAll("input");
    if (name.value) pairs.set(name.value, text.value);
    else if (text.value) {
      name.setCustomValidity(t("f.key-needed"));
      name.reportValidity();
      return null;
    }
  }
  return [...pairs];
}

// The form of the search. search: called with the new question. asked: the one it shows at first.
export function searchForm(asked, search) {
  const { q, service, trace, known } = textInputs();
  const level = h("select", { name: "level" }, ["", ...LEVELS].map((name) => h("option", { value: name }, name || t("f.any"))));
  const from = h("input", { type: "datetime-local", step: "any", name: "start_time" });
  const to = h("input", { type: "datetime-local", step: "any", name: "end_time" });
  const wrong = h("p", { class: "bad", role: "alert", id: "filter-problem" });
  const rows = metadataRows(() => submit());
  const more = h(
    "details", { class: "more-filters" },
    h("summary", {}, t("f.more")),
    h("div", { class: "fields" }, field(t("f.from"), from), field(t("f.to"), to), field(t("f.trace"), trace)),
    h("small", {}, t("f.zone", { zone: zone() })),
    rows.element,
  );
  const inputs = { q, level, service_name: service, trace_id: trace, start_time: from, end_time: to };
  let shown = asked;

  const submit = (changes = {}) => {
    const metadata = rows.read();
    if (!metadata) return;
    const times = { start_time: chosen(from, shown.start_time), end_time: chosen(to, shown.end_time) };
    if (micros(times.start_time) > micros(times.end_time)) return blame("start_time", t("f.order"));
    const last = times.start_time || times.end_time ? "" : shown.last;
    const sort = trace.value ? shown.sort : "";
    const texts = { q: q.value, level: level.value, service_name: service.value.trim(), trace_id: trace.value.trim() };
    search({ ...shown, ...texts, ...times, last, sort, metadata, offset: 0, as_of: "", ...changes });
  };
  const blame = (name, text) => {
    wrong.textContent = text;
    const input = inputs[name] || rows.find(name.replace(/^metadata\./, ""));
    if (!input) return;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-errormessage", wrong.id);
    if (more.contains(input)) more.open = true;
  };
  const fill = (question) => {
    shown = question;
    Object.assign(q, { value: question.q });
    level.value = LEVELS.find((name) => name === question.level.toUpperCase()) || "";
    service.value = question.service_name;
    trace.value = question.trace_id;
    from.value = toLocal(question.start_time);
    to.value = toLocal(question.end_time);
    rows.fill(question.metadata);
    if (question.metadata.length || from.value || to.value || question.trace_id) more.open = true;
    wrong.textContent = "";
    for (const input of Object.values(inputs)) input.removeAttribute("aria-invalid");
    ranges.show(question);
  };
  const ranges = rangeButtons((last) => submit({ last, start_time: "", end_time: "" }));
  const element = h(
    "form",
    { class: "card filters", novalidate: true, role: "search", onsubmit: (event) => { event.preventDefault(); submit(); } },
    h(
      "div", { class: "first-filters" },
      field(t("f.q"), q, t("f.q-hint")), field(t("f.level"), level), field(t("f.service"), service), known,
      h("button", { class: "primary" }, t("f.go")),
    ),
    ranges.element, more, wrong,
  );
  fill(asked);
  return { element, fill, blame, text: q };
}

// The time of an input; where nobody touched it, exactly the one it was filled with.
function chosen(input, original) {
  return input.value && input.value === toLocal(original) ? original : fromLocal(input.value);
}

function rangeButtons(choose) {
  const buttons = ["15m", "1h", "24h", "7d", ""].map((last) =>
    h("button", { type: "button", "data-last": last, onclick: () => choose(last) }, t(last ? `f.${last}` : "f.all-time")),
  );
  return {
    element: h("div", { class: "ranges", role: "group", "aria-label": t("f.ranges") }, buttons),
    show: (asked) => {
      const own = asked.start_time || asked.end_time;
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(!own && button.dataset.last === asked.last));
      }
    },
  };
}

// Each condition as a button that takes it away.
export function conditionsOf(asked, search) {
  const shown = [];
  const add = (name, text) => {
    const label = t("f.without", { text: plain(text) });
    const click = () => search(widened(asked, name));
    shown.push(h("button", { type: "button", class: "condition", "aria-label": label, onclick: click }, h("bdi", {}, visible(text)), " ✕"));
  };
  if (asked.q) add("q", `“${asked.q}”`);
  if (asked.level) add("level", asked.level);
  if (asked.service_name) add("service_name", asked.service_name);
  if (asked.trace_id) add("trace_id", `${t("f.trace")} ${asked.trace_id}`);
  for (const [key, value] of asked.metadata) add(`metadata.${key}`, `${key} = ${value}`);
  if (asked.last in RANGES) add("time", t("f.last", { range: t(`f.${asked.last}`) }));
  if (asked.start_time) add("start_time", t("f.since", { time: stamp(asked.start_time) }));
  if (asked.end_time) add("end_time", t("f.until", { time: stamp(asked.end_time) }));
  return shown.length ? h("div", { class: "conditions", role: "group", "aria-label": t("f.active") }, shown) : null;
}
