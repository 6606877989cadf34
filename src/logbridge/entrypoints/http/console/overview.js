// The overview: how much comes in, how fast it is answered, where logs wait, and what failed and why.

import { chart, rounded } from "./chart.js";
import { h, replace } from "./dom.js";
import { failures, refusals } from "./failures.js";
import { bytes, clock, number, span, t } from "./i18n.js";
import { named } from "./overview-words.js";
import { HISTORY_S, listen } from "./pulse.js";

const OUTCOMES = { accepted: "--good", spooled: "--info", refused: "--warn-level", failed: "--error", unknown: "--fatal" };
const SHARES = { p50: "--info", p90: "--warn-level", p99: "--fatal" };
const WINDOWS = ["ov-now", "ov-1min", "ov-5min"];
const STATES = { available: "good", away: "bad", "not asked yet": "soft" };

export function mount(root) {
  const notice = h("div", {});
  const waiting = h("p", { class: "empty" }, t("ov-waiting"));
  const cards = [throughput(), service(), latency(), inFlight(), spool(), bridge()];
  const charts = [throughputChart(), latencyChart()];
  const parts = [...cards, ...charts, failures(), refusals()];
  const elements = (some) => some.map((part) => part.element);
  const grid = h(
    "div",
    { class: "overview", hidden: true },
    h("div", { class: "grid" }, elements(cards)),
    h("div", { class: "charts" }, elements(charts)),
    elements(parts.slice(-2)),
  );
  root.append(h("h2", { class: "away-from-sight" }, t("overview")), notice, waiting, grid);
  const stop = listen((now) => {
    tellTrouble(notice, now);
    grid.classList.toggle("stale", Boolean(now.lost));
    if (!now.stats) return;
    waiting.hidden = true;
    grid.hidden = false;
    for (const part of parts) part.update(now.stats, now.points);
  });
  return () => {
    stop();
    for (const part of parts) part.close?.();
  };
}

function tellTrouble(notice, { lost, problem }) {
  const key = `${lost?.getTime()} ${problem?.status}`;
  if (notice.dataset.key === key) return;
  notice.dataset.key = key;
  if (!lost) replace(notice);
  else if (problem?.status === 401) {
    const login = h("button", { type: "button", onclick: () => location.reload() }, t("ov-login"));
    replace(notice, h("div", { class: "notice error row" }, t("ov-no-login"), login));
  } else {
    const text = problem ? t("ov-closed", { why: problem.message }) : t("ov-lost", { time: clock(lost) });
    replace(notice, h("p", { class: "notice error" }, text));
  }
}

// A text that changes; nothing is touched where it stays the same.
function slot(attributes = {}, tag = "span") {
  const element = h(tag, attributes);
  return { element, set: (text) => element.textContent !== text && (element.textContent = text) };
}

function card(title, ...children) {
  return h("section", { class: "card" }, h("h2", {}, title), ...children);
}

// Names with values: {name: slot} as a list.
function facts(named) {
  return h("dl", { class: "facts" }, Object.entries(named).map(([name, { element }]) => [h("dt", {}, t(name)), h("dd", {}, element)]).flat());
}

function throughput() {
  const rate = slot();
  const rows = { "ov-1min": slot(), "ov-5min": slot(), "ov-acknowledged": slot(), "ov-requests-s": slot(), "ov-bytes-s": slot() };
  const element = card(t("ov-throughput"), h("p", { class: "figure" }, rate.element, " ", h("small", {}, t("ov-logs-s"))), facts(rows));
  return {
    element,
    update({ performance: { windows: [second, minute, five] } }) {
      rate.set(number(second.logs_per_second));
      rows["ov-1min"].set(`${number(minute.logs_per_second, 1)} ${t("ov-logs-s")}`);
      rows["ov-5min"].set(`${number(five.logs_per_second, 1)} ${t("ov-logs-s")}`);
      const share = minute.logs_per_second ? minute.acknowledged_per_second / minute.logs_per_second : null;
      rows["ov-acknowledged"].set(share === null ? t("ov-none-yet") : percent(share));
      rows["ov-acknowledged"].element.className = share !== null && share < 1 ? "warn" : "";
      rows["ov-requests-s"].set(number(minute.requests_per_second, 1));
      rows["ov-bytes-s"].set(bytes(Math.round(minute.bytes_per_second)));
    },
  };
}

// Never 100 % while something is missing.
export function percent(share) {
  const tenths = Math.min(Math.round(share * 1000), share < 1 ? 999 : 1000);
  return `${number(tenths / 10, 1)}%`;
}

function latency() {
  const names = Object.keys(SHARES);
  const cells = WINDOWS.map(() => names.map(() => slot({ class: "number" }, "td")));
  const element = card(
    t("ov-latency"),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("ov-window")), names.map((name) => h("th", { class: "number", scope: "col" }, name)))),
      h("tbody", {}, WINDOWS.map((name, row) => h("tr", {}, h("th", { scope: "row" }, t(name)), cells[row].map((cell) => cell.element)))),
    ),
  );
  return {
    element,
    update({ performance: { windows } }) {
      windows.forEach(({ write_latency_ms: measured }, row) => names.forEach((name, column) => cells[row][column].set(milliseconds(measured[name]))));
    },
  };
}

// 0 stands for nothing measured.
function milliseconds(value) {
  return value ? t("ov-ms", { n: rounded(value) }) : "–";
}

function gauge(label) {
  const text = slot({ class: "gauge-text" });
  const meter = h("meter", { min: 0, max: 1, high: 0.8, optimum: 0, "aria-label": label });
  const element = h("div", { class: "gauge" }, h("div", { class: "row" }, h("span", {}, label), h("span", { class: "push" }, text.element)), meter);
  return {
    element,
    set(value, max, format) {
      const share = max ? value / max : 0;
      meter.value = share;
      text.set(t("ov-of", { n: format(value), max: format(max), share: percent(share) }));
      meter.setAttribute("aria-valuetext", text.element.textContent);
    },
  };
}

function inFlight() {
  const entries = gauge(t("ov-entries"));
  const size = gauge(t("ov-bytes"));
  const element = card(t("ov-in-flight"), entries.element, size.element, h("small", {}, t("ov-in-flight-why")));
  return {
    element,
    update({ performance: { in_flight: now } }) {
      entries.set(now.entries, now.entries_max, number);
      size.set(now.bytes, now.bytes_max, bytes);
    },
  };
}

function service() {
  const state = slot({}, "strong");
  const why = slot({}, "p");
  const address = slot({ class: "mono" });
  const rows = { "ov-address": address, "ov-calls": slot(), "ov-call-latency": slot(), "ov-per-call": slot(), "ov-again": slot() };
  const element = card(t("ov-service"), h("p", { class: "figure" }, state.element), why.element, facts(rows));
  return {
    element,
    update({ upstream, spool: waiting }) {
      state.set(t(`ov-${upstream.state}`));
      state.element.className = STATES[upstream.state];
      why.set(serviceWhy(upstream, waiting));
      // Of several, lines break between two, not within one.
      address.set(upstream.address.replaceAll(",", ", "));
      const calls = Object.entries(upstream.calls).map(([name, count]) => `${named(name)} ${number(count)}`);
      rows["ov-calls"].set(calls.join(", ") || t("ov-no-calls"));
      const { p50, p90, p99 } = upstream.call_latency_ms;
      rows["ov-call-latency"].set(p99 ? t("ov-ms", { n: [p50, p90, p99].map(rounded).join(" / ") }) : "–");
      rows["ov-per-call"].set(number(upstream.logs_per_call, 1));
      rows["ov-again"].set(number(upstream.logs_sent_again));
    },
  };
}

function serviceWhy({ state, services, services_away: away }, waiting) {
  if (state === "away") return t(waiting ? "ov-away-spooled" : "ov-away-why");
  return away ? t("ov-some-away", { away: number(away), n: number(services) }) : t(`ov-${state}-why`);
}

function spool() {
  const figure = slot({ class: "figure" }, "p");
  const why = slot({}, "p");
  const size = gauge(t("ov-bytes"));
  const rows = { "ov-oldest": slot(), "ov-dead": slot(), "ov-delivered": slot(), "ov-again": slot() };
  const list = facts(rows);
  return {
    element: card(t("ov-spool"), figure.element, why.element, size.element, list),
    update({ spool: now, spool_unreadable: unreadable }) {
      const none = unreadable ? "ov-lost-spool" : "ov-no-spool";
      size.element.hidden = list.hidden = !now;
      figure.set(now ? t("ov-waiting-logs", { n: number(now.entries) }) : t(none));
      why.set(!now ? t(`${none}-why`) : now.dead_letters ? t("ov-dead-why") : "");
      if (!now) return;
      size.set(now.bytes, now.bytes_max, bytes);
      rows["ov-oldest"].set(now.entries ? span(now.oldest_age_seconds) : "–");
      rows["ov-dead"].set(number(now.dead_letters));
      rows["ov-dead"].element.className = now.dead_letters ? "bad" : "";
      rows["ov-delivered"].set(number(now.delivered));
      rows["ov-again"].set(number(now.resent));
    },
  };
}

function bridge() {
  const rows = { "ov-total": slot(), "ov-batch": slot(), "ov-connections": slot(), "ov-tails": slot(), "ov-workers": slot(), "ov-uptime": slot(), "ov-version": slot() };
  return {
    element: card(t("ov-bridge"), facts(rows)),
    update(stats) {
      const { logs, logs_per_batch: batch, connections, tails } = stats.performance;
      rows["ov-total"].set(number(Object.values(logs).reduce((sum, count) => sum + count, 0)));
      rows["ov-batch"].set(batch ? number(batch, 1) : "–");
      rows["ov-connections"].set(number(connections));
      rows["ov-tails"].set(number(tails));
      rows["ov-workers"].set(number(stats.workers));
      rows["ov-uptime"].set(span(stats.uptime_seconds));
      rows["ov-version"].set(stats.version);
    },
  };
}

// Every second of the last five minutes; null where nobody was there to count.
export function timeline(points, names, value) {
  const last = points.length ? points[points.length - 1].time : 0;
  const known = new Map(points.map((point) => [point.time, point]));
  const xs = Array.from({ length: points.length ? HISTORY_S : 0 }, (_, index) => last - HISTORY_S + 1 + index);
  return [xs, names.map((name) => xs.map((time) => (known.has(time) ? value(known.get(time), name) : null)))];
}

function liveChart(options, names, value) {
  const made = chart({ ...options, series: Object.entries(names).map(([name, color]) => ({ name: named(name), color })) });
  return {
    element: h("section", { class: "card" }, made.element),
    update: (_, points) => made.draw(...timeline(points, Object.keys(names), value)),
    close: made.close,
  };
}

function throughputChart() {
  const options = { title: t("ov-chart-throughput"), unit: t("ov-logs-s"), format: (value) => number(value, value < 10 ? 1 : 0), stacked: true };
  return liveChart(options, OUTCOMES, (point, name) => point[name]);
}

function latencyChart() {
  const options = { title: t("ov-chart-latency"), unit: t("ov-milliseconds"), format: rounded };
  return liveChart(options, SHARES, (point, name) => point.write_latency_ms[name] || null);
}
