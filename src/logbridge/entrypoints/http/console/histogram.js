// How many logs there are over time, by level: bars to look at, to narrow the time with, and a table that says the same.

import { ask } from "./api.js";
import { h, replace } from "./dom.js";
import { number, span, t, words } from "./i18n.js";
import { LEVELS, question } from "./query.js";
import { countTicks, tickLabel, timeTicks } from "./scale.js";
import { micros, rfc3339, stamp } from "./times.js";

words({
  en: {
    "h.title": "Logs over time", "h.none": "This bridge has no histogram to show here; the search works without it.",
    "h.failed": "No histogram: {why}", "h.out": "Zoom out", "h.all": "All time", "h.table": "As a table", "h.time": "From",
    "h.total": "Total", "h.narrow": "Only this time", "h.narrow-label": "Only logs from {time}",
    "h.summary": "{total} logs from {start} to {end}, in steps of {step}.", "h.empty": "No logs in this time.",
    "h.use": "Drag over the bars to narrow the time, or click one and shift-click another. Keys: arrows, with Shift to mark, Enter, Escape.",
    "h.at": "{start} to {end}: {counts}", "h.zero": "none", "h.chart": "Logs over time by level; arrow keys go from bar to bar",
  },
  zh: {
    "h.title": "时间分布", "h.none": "当前服务不提供直方图，不影响搜索。",
    "h.failed": "无法加载直方图：{why}", "h.out": "缩小", "h.all": "全部时间", "h.table": "以表格显示", "h.time": "起始时间",
    "h.total": "合计", "h.narrow": "只看这段时间", "h.narrow-label": "只看 {time} 起的日志",
    "h.summary": "{start} 至 {end} 共 {total} 条日志，每格 {step}。", "h.empty": "这段时间内没有日志。",
    "h.use": "拖动选择时间段，或单击一格后按住 Shift 单击另一格。键盘：方向键移动，Shift 加方向键选择，Enter 确认，Esc 取消。",
    "h.at": "{start} 至 {end}：{counts}", "h.zero": "无", "h.chart": "按级别统计的日志时间分布，可用方向键逐格查看",
  },
});

const BUCKETS = 60;
const HEIGHT = 150;
const EDGE = { left: 44, right: 12, top: 8, bottom: 22 };

// Whether this bridge is known to have no histogram: no place is kept for it then.
let missing = false;

// narrow: called with the beginning and the end of a time, RFC 3339; with two empty strings for all time.
export function histogram(narrow) {
  const body = h("div", { class: "histogram-body" });
  const out = h("button", { type: "button" }, t("h.out"));
  const all = h("button", { type: "button", onclick: () => narrow("", "") }, t("h.all"));
  const element = h(
    "section", { class: "card histogram", "aria-label": t("h.title") },
    h("div", { class: "row" }, h("h2", {}, t("h.title")), h("div", { class: "row push" }, out, all)), body,
  );
  const without = (text) => (missing ? replace(body, h("p", { class: "soft" }, text)) : blank(body, text));
  without(missing ? t("h.none") : "");
  let shown = null;
  let asked = "";
  const draw = () => shown && chart(body, shown, narrow);
  const watch = new ResizeObserver(() => body.querySelector("svg")?.dataset.width !== String(inner(body)) && draw());
  watch.observe(body);
  out.addEventListener("click", () => narrow(...wider(shown)));
  return {
    element,
    close: () => watch.disconnect(),
    async show(query, signal) {
      const url = question("histogram", query, { buckets: BUCKETS });
      const key = JSON.stringify({ ...query, offset: 0, limit: 0, as_of: "" });
      // Another page of the same answer has the same bars.
      if (shown && key === asked) return;
      body.setAttribute("aria-busy", "true");
      all.disabled = !(query.last || query.start_time || query.end_time);
      try {
        shown = await ask(url, { signal });
        asked = key;
        missing = false;
        out.disabled = all.disabled || !shown.buckets.length;
        draw();
      } catch (error) {
        if (error.name === "AbortError") return;
        shown = null;
        out.disabled = true;
        missing = error.status === 404 || error.status === 501;
        without(missing ? t("h.none") : t("h.failed", { why: error.message }));
      }
      body.removeAttribute("aria-busy");
    },
  };
}

function inner(body) {
  return Math.floor(body.clientWidth);
}

// Three times as wide, around the same middle.
function wider({ start_time: start, end_time: end }) {
  const width = Math.max(micros(end) - micros(start), 1e6);
  return [rfc3339(micros(start) - width), rfc3339(micros(end) + width)];
}

export function total(bucket) {
  return LEVELS.reduce((sum, level) => sum + (bucket[level] || 0), 0);
}

// From the beginning of one bucket to the end of another; an end counts as within, so it is a microsecond less.
export function rangeOf(answer, first, last) {
  const [low, high] = first <= last ? [first, last] : [last, first];
  const start = micros(answer.buckets[low].time);
  const end = micros(answer.buckets[high].time) + Math.round(answer.bucket_seconds * 1e6) - 1;
  return [rfc3339(start), rfc3339(end)];
}

function chart(body, answer, narrow) {
  if (!answer.buckets.length || !answer.total_count) {
    blank(body, t("h.empty"));
    return;
  }
  const told = h("span", { role: "status" }, t("h.use"));
  const go = h("button", { type: "button", hidden: true }, t("h.narrow"));
  const svg = bars(answer, Math.max(240, inner(body)));
  const holder = h("div", { class: "histogram-bars", tabindex: "0", role: "group", "aria-label": t("h.chart") }, svg.element);
  choosing(holder, svg, answer, { told, go }, narrow);
  replace(body, holder, legend(answer), h("p", { class: "histogram-told" }, told, " ", go), table(answer, narrow));
}

// As high as a chart with bars: what is below must not move away from under a pointer when they come.
function blank(body, text) {
  const told = h("p", { class: "histogram-told" }, t("h.use"));
  const folded = h("details", { class: "histogram-table" }, h("summary", {}, t("h.table")));
  replace(body, h("p", { class: "histogram-blank soft" }, text), h("div", { class: "unseen" }, legend({ buckets: [] }), told, folded));
}

function shape(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function bars(answer, width) {
  const { buckets, bucket_seconds: seconds } = answer;
  const ticks = countTicks(Math.max(...buckets.map(total)));
  const inside = { width: width - EDGE.left - EDGE.right, height: HEIGHT - EDGE.top - EDGE.bottom };
  const step = inside.width / buckets.length;
  const fromMs = micros(buckets[0].time) / 1000;
  const toMs = fromMs + seconds * 1000 * buckets.length;
  const bottom = EDGE.top + inside.height;
  const y = (count) => bottom - (count / ticks.at(-1)) * inside.height;
  const element = shape("svg", { width, height: HEIGHT, "data-width": width, "aria-hidden": "true", class: "bars" });
  for (const tick of ticks) {
    element.append(
      shape("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(tick), y2: y(tick), class: "gridline" }),
      shape("text", { x: EDGE.left - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick)),
    );
  }
  const marked = shape("rect", { y: EDGE.top, height: inside.height, width: 0, class: "chosen" });
  element.append(marked);
  buckets.forEach((bucket, index) => element.append(...stack(bucket, EDGE.left + index * step, step, bottom, inside.height / ticks.at(-1))));
  const times = timeTicks(fromMs, toMs, Math.floor(inside.width / 90));
  for (const ms of times.ticks) {
    const x = EDGE.left + ((ms - fromMs) / (toMs - fromMs)) * inside.width;
    element.append(
      shape("line", { x1: x, x2: x, y1: bottom, y2: bottom + 4, class: "axis" }),
      shape("text", { x: Math.min(Math.max(x, 24), width - 26), y: HEIGHT - 4, "text-anchor": "middle" }, tickLabel(ms, times.step)),
    );
  }
  return {
    element,
    // Which bucket is at this place of the screen.
    at: (clientX) => {
      const x = clientX - element.getBoundingClientRect().left - EDGE.left;
      return Math.max(0, Math.min(buckets.length - 1, Math.floor(x / step)));
    },
    choose: (first, last) => {
      const [low, high] = first <= last ? [first, last] : [last, first];
      marked.setAttribute("x", EDGE.left + low * step);
      marked.setAttribute("width", first < 0 ? 0 : (high - low + 1) * step);
    },
  };
}

// The gravest level at the foot, where it is easiest to see.
function stack(bucket, x, step, bottom, scale) {
  let top = bottom;
  return [...LEVELS].reverse().filter((level) => bucket[level]).map((level) => {
    const height = Math.max(1, bucket[level] * scale);
    top -= height;
    const gap = step > 4 ? 1 : 0;
    return shape("rect", { x: x + gap / 2, y: Math.max(0, top), width: step - gap, height, class: `bar ${level}` });
  });
}

function legend(answer) {
  const count = (level) => answer.buckets.reduce((sum, bucket) => sum + (bucket[level] || 0), 0);
  const items = LEVELS.map((level) =>
    h("li", {}, h("span", { class: `level-swatch ${level}`, "aria-hidden": "true" }), `${level} `, h("b", {}, number(count(level)))),
  );
  return h("ul", { class: "level-legend" }, items);
}

function counts(bucket) {
  const there = LEVELS.filter((level) => bucket[level]).map((level) => `${level} ${number(bucket[level])}`);
  return there.join(", ") || t("h.zero");
}

function choosing(holder, svg, answer, { told, go }, narrow) {
  let first = -1;
  let last = -1;
  let dragging = false;
  const choose = (from, to) => {
    [first, last] = [from, to];
    svg.choose(first, last);
    go.hidden = first < 0;
    told.textContent = first < 0 ? t("h.use") : tell(answer, first, last);
  };
  const done = () => narrow(...rangeOf(answer, first, last));
  go.addEventListener("click", done);
  holder.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = svg.at(event.clientX);
    if (event.shiftKey && first >= 0) {
      choose(first, at);
      done();
      return;
    }
    dragging = true;
    holder.setPointerCapture(event.pointerId);
    choose(at, at);
  });
  holder.addEventListener("pointermove", (event) => {
    const at = svg.at(event.clientX);
    if (dragging) choose(first, at);
    else if (first < 0) told.textContent = tell(answer, at, at);
  });
  holder.addEventListener("pointerup", () => {
    if (dragging && first !== last) done();
    dragging = false;
  });
  holder.addEventListener("pointercancel", () => { dragging = false; });
  holder.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    const unchosen = { ArrowRight: 0, ArrowLeft: Infinity, Home: 0, End: Infinity };
    if (step) {
      const to = Math.max(0, Math.min(answer.buckets.length - 1, last < 0 ? unchosen[event.key] : last + step));
      choose(event.shiftKey && first >= 0 ? first : to, to);
    } else if (event.key === "Enter" && first >= 0) done();
    else if (event.key === "Escape") choose(-1, -1);
    else return;
    event.preventDefault();
  });
}

function tell(answer, first, last) {
  const [start, end] = rangeOf(answer, first, last);
  const sum = Object.fromEntries(LEVELS.map((level) => [level, 0]));
  for (const bucket of answer.buckets.slice(Math.min(first, last), Math.max(first, last) + 1)) {
    for (const level of LEVELS) sum[level] += bucket[level] || 0;
  }
  return t("h.at", { start: stamp(start), end: stamp(end), counts: counts(sum) });
}

function table(answer, narrow) {
  const head = [t("h.time"), ...LEVELS, t("h.total"), t("h.narrow")];
  const rows = answer.buckets.flatMap((bucket, index) => {
    if (!total(bucket)) return [];
    const time = stamp(bucket.time);
    const only = h(
      "button", { type: "button", class: "plain", "aria-label": t("h.narrow-label", { time }), onclick: () => narrow(...rangeOf(answer, index, index)) },
      t("h.narrow"),
    );
    const numbers = [...LEVELS.map((level) => bucket[level] || 0), total(bucket)].map((count) => h("td", { class: "number" }, number(count)));
    return [h("tr", {}, h("th", { scope: "row" }, time), numbers, h("td", {}, only))];
  });
  const summary = t("h.summary", {
    total: number(answer.total_count), start: stamp(answer.start_time), end: stamp(answer.end_time),
    step: span(answer.bucket_seconds),
  });
  return h(
    "details", { class: "histogram-table" },
    h("summary", {}, t("h.table")), h("p", {}, summary),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("h.table") },
      h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows))),
  );
}
