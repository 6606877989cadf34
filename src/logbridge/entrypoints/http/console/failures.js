// What failed lately and why, and how many requests were refused.

import { h, replace } from "./dom.js";
import { moment, number, t } from "./i18n.js";
import { named } from "./overview-words.js";

const COLUMNS = ["ov-last", "ov-outcome", "ov-cause", "ov-service-name", "ov-reason", "ov-count"];

export function failures() {
  const body = h("tbody");
  const head = h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col", class: name === "ov-count" ? "number" : "" }, t(name))));
  const table = h("table", { class: "stack", "aria-label": t("ov-failures") }, h("thead", {}, head), body);
  const none = h("p", { class: "empty" }, t("ov-no-failures"));
  const element = h("section", { class: "card" }, h("h2", {}, t("ov-failures")), table, none);
  let rows = new Map();
  return {
    element,
    update({ errors: { last } }) {
      none.hidden = last.length > 0;
      table.hidden = !last.length;
      rows = kept(rows, last);
      if (isSame([...rows.values()], [...body.children])) return;
      // Moving an element takes the focus from it.
      const focused = body.contains(document.activeElement) ? document.activeElement : null;
      replace(body, [...rows.values()]);
      if (focused?.isConnected) focused.focus({ preventScroll: true });
    },
  };
}

// The rows in their new order; a kind of failure keeps its row for as long as it is shown.
function kept(rows, last) {
  return new Map(last.map((failure) => {
    const key = JSON.stringify([failure.outcome, failure.cause, failure.reason, failure.service_name]);
    const row = rows.get(key) ?? made(failure);
    row.firstChild.textContent = moment(failure.time);
    row.lastChild.textContent = number(failure.count);
    return [key, row];
  }));
}

function made({ outcome, cause, reason, service_name: name }) {
  const link = name
    ? h("a", { href: `#search?${new URLSearchParams({ service_name: name })}`, "aria-label": t("ov-find", { name }) }, name)
    : "–";
  const cells = ["", named(outcome), named(cause), link, h("span", { class: "mono" }, reason), ""];
  const classes = ["narrow", "narrow", "", "", "reason", "number"];
  return h("tr", {}, cells.map((cell, index) => h("td", { class: classes[index], "data-label": t(COLUMNS[index]) }, cell)));
}

function isSame(some, others) {
  return some.length === others.length && some.every((one, index) => one === others[index]);
}

export function refusals() {
  const statuses = chips("ov-by-status", (name) => (name >= "500" ? "bad" : "warn"));
  const causes = chips("ov-by-cause", () => "");
  const connections = chips("ov-refused-connections", () => "");
  const none = h("p", { class: "empty" }, t("ov-no-statuses"));
  const lists = h("div", { class: "fields" }, statuses.element, causes.element, connections.element);
  return {
    element: h("section", { class: "card" }, h("h2", {}, t("ov-statuses")), none, lists),
    update({ errors }) {
      const shown = [statuses.set(errors.requests_by_status), causes.set(errors.by_cause), connections.set(errors.refusals ?? errors.refused_connections ?? {})];
      none.hidden = shown.some(Boolean);
      lists.hidden = !none.hidden;
    },
  };
}

function chips(title, kind) {
  const list = h("ul", { class: "chips" });
  const element = h("div", {}, h("h3", {}, t(title)), list);
  let before = "";
  return {
    element,
    set(counts) {
      const entries = Object.entries(counts);
      element.hidden = !entries.length;
      const now = JSON.stringify(counts);
      if (now !== before) {
        before = now;
        replace(list, entries.map(([name, count]) => h("li", { class: "chip" }, h("span", { class: kind(name) }, named(name)), ` ${number(count)}`)));
      }
      return entries.length > 0;
    },
  };
}
