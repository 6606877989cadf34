// The bridge's answer to a write or a batch, as people read it.

import { h } from "./dom.js";
import { number, t } from "./i18n.js";
import { refusal } from "./key.js";
import { findable } from "./request.js";
import "./write-words.js";

const SHOWN = 20;

// got: as post() gives it. again: sends it once more, with a key that was asked for.
export function answered(got, state, again) {
  const { body, status } = got;
  const refused = refusal(status, body.detail ?? "", "write", again);
  const isBatch = Array.isArray(body.results);
  const rows = [[t("wr-status"), h("b", { class: got.ok ? "good" : "bad" }, `${status} ${got.reason || body.title || ""}`)]];
  if (isBatch) rows.push([t("wr-count"), t("wr-count-of", { n: number(body.success_count), total: number(body.total_count) })]);
  else if ("success" in body) rows.push([t("wr-success"), t(body.success ? "wr-yes" : "wr-no")]);
  if (body.log_id) rows.push([t("wr-id"), h("span", { class: "mono" }, body.log_id)]);
  rows.push([t("wr-took"), t("wr-ms", { n: number(got.took_ms, 1) })]);
  const why = body.error_message || body.detail;
  if (why && !refused) rows.push([t("wr-why"), h("span", { class: "bad" }, why)]);
  return [
    h("dl", { class: "facts" }, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    refused,
    status === 202 ? h("p", { class: "soft" }, t("wr-spooled")) : null,
    isBatch && body.errors.length ? listed(body.errors) : null,
    got.ok ? h("p", {}, h("a", { href: findable(state) }, t(isBatch ? "wr-find-all" : "wr-find"))) : null,
  ];
}

export function unreachable(error) {
  return h("p", { class: "notice error" }, t("wr-unreachable", { why: error.message }));
}

function listed(errors) {
  const more = errors.length - SHOWN;
  return h("ul", { class: "bad" }, errors.slice(0, SHOWN).map((error) => h("li", {}, error)), more > 0 ? h("li", {}, t("wr-more", { n: number(more) })) : null);
}
