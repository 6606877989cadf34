// The live tail: new logs as they are stored.

import { field, h, replace } from "./dom.js";
import { metadataRows, remember, textInputs } from "./filters.js";
import { number, t, words } from "./i18n.js";
import { logRow, slashFocuses, walkable } from "./logrow.js";
import { LEVELS, blamed, hash, narrowed, question, read } from "./query.js";
import { ROWS_MAX, Sampler, levelOf } from "./sampling.js";
import { follow } from "./stream.js";
import { finder } from "./text.js";
import { timeOfDay } from "./times.js";

words({
  en: {
    "w.title": "Live tail", "w.levels": "Levels", "w.apply": "Apply", "w.pause": "Pause", "w.resume": "Resume", "w.clear": "Clear the list",
    "w.newest": "↓ To the newest", "w.new": "{n} new", "w.list": "New logs", "w.connecting": "Connecting…", "w.following": "Following",
    "w.reconnecting": "Connection lost. Trying again…", "w.reconnecting-why": "Trying again: {why}", "w.lost": "Stopped: {why}", "w.paused": "Paused", "w.waiting": "Waiting for new logs. The tail shows what is stored from now on.",
    "w.rate": "{rate} logs/s", "w.sampled": "Showing 1 of {n} logs, {rate}/s", "w.shown": "{shown} shown", "w.skipped": "{n} not shown",
    "w.401": "The session has ended: load the page again to log in.", "w.403": "You may not read these logs: {why}",
    "w.501": "This log service cannot be followed: {why}", "w.422": "The bridge does not accept this filter: {why}", "w.404": "This bridge has no live tail: {why}", "w.again": "Try again",
    "w.no-level": "Choose at least one level.", "w.cap": "The newest {n} stay in the list.", "w.search": "Search these", "w.filters": "Filters",
  },
  zh: {
    "w.title": "实时日志", "w.levels": "级别", "w.apply": "应用", "w.pause": "暂停", "w.resume": "继续", "w.clear": "清空列表",
    "w.newest": "↓ 跳到最新", "w.new": "{n} 条新日志", "w.list": "新日志", "w.connecting": "正在连接…", "w.following": "正在跟踪",
    "w.reconnecting": "连接已断开，正在重连…", "w.reconnecting-why": "正在重连：{why}", "w.lost": "已停止：{why}", "w.paused": "已暂停", "w.waiting": "等待新日志：这里只显示从现在起写入的日志。",
    "w.rate": "{rate} 条/秒", "w.sampled": "每 {n} 条显示 1 条，{rate} 条/秒", "w.shown": "已显示 {shown} 条", "w.skipped": "未显示 {n} 条",
    "w.401": "会话已结束，请重新加载页面并登录。", "w.403": "没有读取这些日志的权限：{why}",
    "w.501": "当前日志服务不支持实时跟踪：{why}", "w.422": "筛选条件有误：{why}", "w.404": "当前服务没有实时日志：{why}", "w.again": "重试",
    "w.no-level": "请至少选择一个级别。", "w.cap": "列表只保留最新的 {n} 条。", "w.search": "转到搜索", "w.filters": "筛选条件",
  },
});

const LOOK_MS = 500;
// So near to the end counts as the end.
const NEAR_PX = 40;

export function mount(root, parameters) {
  let asked = read(parameters);
  let levels = levelsOf(asked.level);
  let stop = () => {};
  let sampler = new Sampler(performance.now());
  let frame = 0;
  let paused = false;
  let heldAt = 0;
  let sticky = true;
  let state = "connecting";
  let problem = null;
  let find = finder(asked.q);

  const narrow = (name, value) => (name === "level" ? change(asked, [value]) : change(narrowed(asked, name, value), levels));
  const list = walkable(h("ol", { class: "logs tail-list" }));
  const box = h("div", { class: "tail-box", tabindex: "0", role: "region", "aria-label": t("w.list") }, list);
  const waiting = h("p", { class: "empty" }, t("w.waiting"));
  box.prepend(waiting);
  const newest = h("button", { type: "button", class: "to-newest primary", hidden: true, onclick: toNewest }, t("w.newest"));
  const told = h("span", { role: "status", class: "tail-state" });
  const again = h("button", { type: "button", hidden: true, onclick: () => start() }, t("w.again"));
  const rate = h("span", { class: "soft tail-rate" });
  const counted = h("span", { class: "soft tail-count" });
  const pause = h("button", { type: "button", class: "tail-pause", "aria-pressed": "false", onclick: () => setPaused(!paused) });
  const clear = h("button", { type: "button", onclick: empty }, t("w.clear"));
  const searched = h("a", { class: "button push" }, t("w.search"));
  const form = tailForm(asked, levels, (question, chosen) => change(question, chosen));

  function change(question, chosen) {
    asked = question;
    levels = chosen;
    find = finder(asked.q);
    const place = hash({ ...asked, level: levels.length === LEVELS.length ? "" : levels.join(",") }, "tail");
    if (place !== location.hash) history.pushState(null, "", place);
    form.fill(asked, levels);
    empty();
    start();
  }

  function start() {
    stop();
    sampler = new Sampler(performance.now());
    if (paused || document.hidden) sampler.hold();
    heldAt = 0;
    searched.href = hash({ ...asked, level: levels.length === 1 ? levels[0] : "" });
    const some = levels.length < LEVELS.length ? new Set(levels) : null;
    // The bridge filters by one level; more than one are picked here.
    const url = question("tail", { ...asked, level: levels.length === 1 ? levels[0] : "" });
    stop = follow(url, {
      onFrame: (text) => {
        if (some && !some.has(levelOf(text))) return;
        sampler.arrive(text);
        if (!frame && !sampler.holding) frame = requestAnimationFrame(draw);
      },
      onState: (name, why = null) => {
        state = name;
        problem = why;
        tell();
      },
    });
  }

  // Once for each picture of the screen, however many logs came.
  function draw() {
    frame = 0;
    const rows = sampler.take(performance.now()).flatMap((text) => row(text) || []);
    if (rows.length) {
      waiting.hidden = true;
      list.append(...rows);
      trim();
      if (sticky) box.scrollTop = box.scrollHeight;
    }
    if (sampler.waiting.length && !sampler.holding) frame = requestAnimationFrame(draw);
  }

  function row(text) {
    let log;
    try {
      log = JSON.parse(text);
    } catch {
      return null;
    }
    remember(log);
    return logRow(log, { time: timeOfDay(log.timestamp), narrow, find, opened: () => setSticky(false) });
  }

  function trim() {
    const focused = document.activeElement;
    while (list.childElementCount > ROWS_MAX) {
      if (list.firstElementChild.contains(focused)) box.focus();
      list.firstElementChild.remove();
    }
  }

  function setPaused(on) {
    paused = on;
    heldAt = sampler.came;
    hold();
    tell();
    count();
  }

  function hold() {
    if (paused || document.hidden) {
      sampler.hold();
      return;
    }
    sampler.release();
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function setSticky(on) {
    sticky = on;
    newest.hidden = on;
  }

  function toNewest() {
    setSticky(true);
    box.scrollTop = box.scrollHeight;
    box.focus();
  }

  function empty() {
    replace(list);
    sampler.forget();
    waiting.hidden = false;
    setSticky(true);
  }

  function tell() {
    const why = problem?.message || "";
    const final = { 400: "w.422", 401: "w.401", 403: "w.403", 404: "w.404", 422: "w.422", 501: "w.501" }[problem?.status] || "w.lost";
    const key = state === "lost" ? final : state === "reconnecting" && why ? "w.reconnecting-why" : `w.${state}`;
    const text = paused && state === "following" ? t("w.paused") : t(key, { why });
    if (told.textContent !== text) told.textContent = text;
    told.dataset.state = paused && state === "following" ? "paused" : state;
    again.hidden = state !== "lost";
    form.blame(state === "lost" ? blamed(why) : "");
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = t(paused ? "w.resume" : "w.pause");
  }

  function count() {
    const { perSecond, oneOf } = sampler.rates(performance.now());
    const figures = { rate: number(perSecond), n: number(oneOf) };
    if (paused) rate.textContent = t("w.new", { n: number(sampler.came - heldAt) });
    else rate.textContent = oneOf > 1 ? t("w.sampled", figures) : t("w.rate", figures);
    const skipped = sampler.skipped ? ` · ${t("w.skipped", { n: number(sampler.skipped) })}` : "";
    counted.textContent = t("w.shown", { shown: number(sampler.shown) }) + skipped;
  }

  box.addEventListener("scroll", () => setSticky(box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX));
  document.addEventListener("visibilitychange", hold);
  // On a phone the logs come first.
  const used = asked.q || asked.service_name || asked.trace_id || asked.metadata.length || levels.length < LEVELS.length;
  const open = Boolean(used) || matchMedia("(min-width: 641px)").matches;
  replace(
    root,
    h("details", { class: "tail-filters", open }, h("summary", {}, t("w.filters")), form.element),
    h(
      "section", { class: "card tail", "aria-label": t("w.title") },
      // The buttons first: texts of changing length before them would move them.
      h("div", { class: "row" }, h("h2", {}, t("w.title")), pause, clear, searched),
      h("div", { class: "row" }, told, again, rate, counted, h("small", {}, t("w.cap", { n: number(ROWS_MAX) }))),
      h("div", { class: "tail-frame" }, box, newest),
    ),
  );
  const noSlash = slashFocuses(form.text);
  const looking = setInterval(count, LOOK_MS);
  tell();
  count();
  start();
  return () => {
    stop();
    cancelAnimationFrame(frame);
    clearInterval(looking);
    document.removeEventListener("visibilitychange", hold);
    noSlash();
  };
}

// All of them where the hash names none that exists.
function levelsOf(text) {
  const named = text.toUpperCase().split(",");
  const chosen = LEVELS.filter((level) => named.includes(level));
  return chosen.length ? chosen : LEVELS;
}

function tailForm(asked, levels, change) {
  const { q, service, trace, known } = textInputs();
  const boxes = LEVELS.map((name) => h("input", { type: "checkbox", name: "level", value: name }));
  const wrong = h("p", { class: "bad", role: "alert", id: "filter-problem" });
  const rows = metadataRows(() => submit());
  const submit = () => {
    const metadata = rows.read();
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    wrong.textContent = chosen.length ? "" : t("w.no-level");
    if (!metadata || !chosen.length) return;
    const texts = { q: q.value, service_name: service.value.trim(), trace_id: trace.value.trim() };
    change({ ...read({}), ...texts, metadata }, chosen);
  };
  const inputs = { q, service_name: service, trace_id: trace };
  const more = h("details", { class: "more-filters" }, h("summary", {}, t("f.more-tail")), h("div", { class: "fields" }, field(t("f.trace"), trace)), rows.element);
  const fill = (question, chosen) => {
    q.value = question.q;
    service.value = question.service_name;
    trace.value = question.trace_id;
    for (const box of boxes) box.checked = chosen.includes(box.value);
    rows.fill(question.metadata);
    if (question.trace_id || question.metadata.length) more.open = true;
  };
  const blame = (name) => {
    for (const [key, input] of Object.entries(inputs)) {
      if (key === name) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
  };
  fill(asked, levels);
  const element = h(
    "form",
    { class: "card filters", novalidate: true, onsubmit: (event) => { event.preventDefault(); submit(); } },
    h("div", { class: "first-filters" }, field(t("f.q"), q, t("f.q-hint")), field(t("f.service"), service), known, h("button", { class: "primary" }, t("w.apply"))),
    h("fieldset", { class: "levels" }, h("legend", {}, t("w.levels")), boxes.map((box) => h("label", {}, box, ` ${box.value}`))),
    more, wrong,
  );
  for (const box of boxes) box.addEventListener("change", submit);
  return { element, fill, blame, text: q };
}
