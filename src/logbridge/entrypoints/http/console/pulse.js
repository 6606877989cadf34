// How the bridge is, each second: one subscription for the whole page, for the line in its head and for every view.

import { address, ask, watchStats } from "./api.js";
import { h, replace, toast } from "./dom.js";
import { clock, number, t, words } from "./i18n.js";

words({
  en: {
    "pulse-asking": "Asking the bridge…", "pulse-rate": "{n} logs/s",
    "pulse-available": "Log service available", "pulse-away": "Log service away", "pulse-new": "Log service not asked yet",
    "pulse-lost": "No answer from the bridge since {time}", "pulse-closed": "The bridge shows no statistics: {why}",
    "pulse-lost-now": "The bridge does not answer. It is asked again by itself.", "pulse-back": "The bridge answers again.",
    "pulse-away-now": "The log service does not answer the bridge.", "pulse-available-now": "The log service answers again.",
  },
  zh: {
    "pulse-asking": "正在连接日志桥…", "pulse-rate": "{n} 条/秒",
    "pulse-available": "日志服务正常", "pulse-away": "日志服务不可达", "pulse-new": "尚未请求过日志服务",
    "pulse-lost": "日志桥自 {time} 起无响应", "pulse-closed": "无法读取统计数据：{why}",
    "pulse-lost-now": "日志桥无响应，正在自动重连。", "pulse-back": "日志桥已恢复响应。",
    "pulse-away-now": "日志桥连不上日志服务。", "pulse-available-now": "日志服务已恢复。",
  },
});

export const HISTORY_S = 300;
// The bridge speaks each second; so long a silence means that the connection is dead, though nobody says so.
const SILENCE_MS = 10_000;
const AGAIN_MS = 3_000;
const FORBIDDEN_AGAIN_MS = 30_000;
const STATES = { available: ["pulse-available", "good"], away: ["pulse-away", "bad"], "not asked yet": ["pulse-new", "soft"] };

// stats: of the last second, or null. points: the last five minutes, oldest first. lost: since when, or null.
// problem: why the bridge refuses to tell, or null.
export const now = { stats: null, points: [], lost: null, problem: null };

const listeners = new Set();
let stop = null;
let silence = 0;
let again = 0;

// Calls the listener at each change, and at once if there is something to tell; returns a function that ends it.
export function listen(listener) {
  listeners.add(listener);
  if (now.stats || now.lost) listener(now);
  return () => listeners.delete(listener);
}

export function start() {
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  if (!document.hidden) open();
}

// A page that nobody sees asks nothing; what it missed comes with the first event.
function open() {
  close();
  stop = watchStats(heard, lose);
  listenForSilence();
}

function close() {
  stop?.();
  stop = null;
  clearTimeout(silence);
  clearTimeout(again);
}

function listenForSilence() {
  clearTimeout(silence);
  silence = setTimeout(() => {
    lose(false);
    open();
  }, SILENCE_MS);
}

function heard(stats) {
  listenForSilence();
  const before = now.stats?.upstream.state;
  if (now.lost) toast(t("pulse-back"));
  else if (before && before !== stats.upstream.state) changed(stats.upstream.state);
  Object.assign(now, { stats, lost: null, problem: null, points: joined(now.points, stats.performance.history) });
  tell();
}

function changed(state) {
  if (state === "away") toast(t("pulse-away-now"), "error");
  if (state === "available" && now.stats.upstream.state === "away") toast(t("pulse-available-now"));
}

// Points of the last five minutes: a second that is told twice counts as it was told last.
export function joined(points, more) {
  const seconds = new Map([...points, ...more].map((point) => [point.time, point]));
  const last = more.length ? more[more.length - 1].time : Math.max(0, ...seconds.keys());
  return [...seconds.values()]
    .filter((point) => point.time > last - HISTORY_S && point.time <= last)
    .sort((one, other) => one.time - other.time);
}

// closed: the browser has given up, because the answer was no stream of events; otherwise it tries again by itself.
async function lose(closed) {
  if (!now.lost) {
    now.lost = new Date();
    if (now.stats) toast(t("pulse-lost-now"), "error");
  }
  tell();
  if (!closed) return;
  close();
  now.problem = await ask(address("stats")).then(() => null, (error) => ([401, 403].includes(error.status) ? error : null));
  if (!stop && !document.hidden) again = setTimeout(open, now.problem ? FORBIDDEN_AGAIN_MS : AGAIN_MS);
  if (now.lost) tell();
}

function tell() {
  paint();
  for (const listener of listeners) listener(now);
}

// No live region: what changes each second must not be read out. Changes of the state are, as toasts.
export function paint() {
  const [text, kind] = line();
  const place = document.getElementById("pulse");
  if (place.textContent === `● ${text}` && place.dataset.kind === kind) return;
  place.dataset.kind = kind;
  replace(place, h("span", { class: `dot ${kind}`, "aria-hidden": "true" }, "● "), text);
}

function line() {
  if (now.problem) return [t("pulse-closed", { why: now.problem.message }), "bad"];
  if (now.lost) return [t("pulse-lost", { time: clock(now.lost) }), "bad"];
  if (!now.stats) return [t("pulse-asking"), "soft"];
  const [state, kind] = STATES[now.stats.upstream.state];
  const rate = number(now.stats.performance.windows[0].logs_per_second);
  return [`${t(state)} · ${t("pulse-rate", { n: rate })}`, kind];
}
