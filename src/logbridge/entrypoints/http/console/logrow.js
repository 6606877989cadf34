// One log as a line that opens: the same in search, in a trace and in the live tail.

import { details } from "./details.js";
import { h, replace } from "./dom.js";
import { t, words } from "./i18n.js";
import { whole } from "./query.js";
import { folded, plain, visible } from "./text.js";
import { stamp } from "./times.js";

words({
  en: { "l.all": "show all", "l.less": "show less", "l.trace-of": "Trace {id}" },
  zh: { "l.all": "展开", "l.less": "收起", "l.trace-of": "链路 {id}" },
});

const LABEL = 120;

// time: what stands in the first column. before: nodes between time and message, in place of the service.
// narrow, find: see details(). opened: called when the line is opened.
export function logRow(log, { time = stamp(log.timestamp), service = null, narrow, find = null, opened = () => {} }) {
  const label = plain(`${time} ${log.level} ${log.service_name}: ${log.message.slice(0, LABEL)}`);
  const toggle = h(
    "button", { type: "button", class: "log-toggle", "aria-expanded": "false", "aria-label": label },
    h("time", { title: plain(log.timestamp) }, plain(time)),
  );
  const line = h(
    "div", { class: "log-line" },
    toggle,
    shortcut(`log-level ${log.level}`, log.level, () => narrow("level", log.level)),
    service || shortcut("log-service", log.service_name, () => narrow("service_name", log.service_name)),
    message(log.message, find),
    log.trace_id ? trace(log.trace_id) : null,
  );
  const row = h("li", { class: `log at-${log.level}` }, line);
  line.addEventListener("click", (event) => {
    if (event.target.closest("a, .log-fold, .log-shortcut")) return;
    // Who marks text with the mouse wants to copy it.
    if (event.detail && String(getSelection())) return;
    const open = toggle.getAttribute("aria-expanded") !== "true";
    toggle.setAttribute("aria-expanded", String(open));
    if (open) row.append(details(log, { narrow, find }));
    else row.querySelector(".log-details")?.remove();
    if (open) opened();
  });
  return row;
}

// With the keyboard the same is done from the open log, so that Tab does not stop four times on each line.
function shortcut(name, text, click) {
  return h("button", { type: "button", tabindex: -1, class: `log-shortcut ${name}`, onclick: click }, visible(text));
}

function trace(id) {
  const short = id.length > 12 ? `${id.slice(0, 10)}…` : id;
  const label = t("l.trace-of", { id: plain(id) });
  return h("a", { class: "log-trace", tabindex: -1, href: whole(id), title: label, "aria-label": label }, visible(short));
}

function message(text, find) {
  const beginning = folded(text);
  if (beginning === null) return h("span", { class: "log-message" }, visible(text, { find }));
  const shown = h("span", {});
  const button = h("button", { type: "button", class: "plain log-fold", tabindex: -1 });
  let all = true;
  const turn = () => {
    all = !all;
    replace(shown, all ? visible(text, { find, lines: true }) : [...visible(beginning, { find }), "… "]);
    button.textContent = t(all ? "l.less" : "l.all");
  };
  button.addEventListener("click", turn);
  turn();
  return h("span", { class: "log-message" }, shown, " ", button);
}

// Arrow keys, Home and End go from line to line; the rest of the keyboard stays as it is.
export function walkable(list) {
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || event.target.closest("input, select, textarea, .log-details")) return;
    const lines = [...list.querySelectorAll(".log-toggle")];
    const at = lines.indexOf(event.target.closest(".log")?.querySelector(".log-toggle"));
    const next = Math.max(0, Math.min(lines.length - 1, at + step));
    if (!lines.length || next === at) return;
    event.preventDefault();
    lines[next].focus();
  });
  return list;
}

// "/" goes to the text filter, as in so many programs. Returns what takes that back.
export function slashFocuses(input) {
  const listen = (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, select, textarea")) return;
    event.preventDefault();
    const closed = input.closest("details");
    if (closed) closed.open = true;
    input.focus();
    input.select();
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}
