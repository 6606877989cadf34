// What came of a concurrent test: totals, latencies, charts, failures.

import { chart, rounded } from "./chart.js";
import { h } from "./dom.js";
import { number, t } from "./i18n.js";
import "./test-words.js";

// Gives {elements, close()}. Latencies and charts are there where the bridge measured them.
export function report(result) {
  const charts = result.latency_ms ? [histogram(result.latency_histogram), throughput(result.throughput)].filter(Boolean) : [];
  return {
    elements: [
      totals(result),
      charts.length ? h("div", { class: "charts" }, charts.map((one) => h("section", { class: "card" }, one.element))) : null,
      failures(result.error_summary),
    ].filter(Boolean),
    close: () => charts.forEach((one) => one.close()),
  };
}

function totals(result) {
  const latency = result.latency_ms ?? {};
  const rows = [
    ["lt-total", number(result.total_count)],
    ["lt-success", number(result.success_count), "good"],
    ["lt-failures", number(result.failed_count), result.failed_count ? "bad" : ""],
    ["lt-seconds", t("lt-s", { n: rounded(result.duration_seconds) })],
    ["lt-rate", number(result.logs_per_second, 1)],
    ["lt-workers", number(result.max_workers)],
    ...["p50", "p90", "p99", "max"].filter((name) => name in latency).map((name) => [`lt-${name}`, t("lt-ms", { n: rounded(latency[name]) })]),
  ];
  return h(
    "section",
    { class: "card result" },
    h("h2", {}, t("lt-result")),
    h("dl", { class: "totals" }, rows.map(([name, value, kind = ""]) => h("div", {}, h("dt", {}, t(name)), h("dd", { class: kind }, value)))),
    result.latency_ms ? null : h("p", { class: "soft" }, t("lt-no-latency")),
    result.success_count ? h("p", {}, h("a", { href: "#search?q=concurrent+test+log" }, t("lt-find"))) : null,
  );
}

function histogram(bins = []) {
  const filled = trimmed(bins);
  if (!filled.length) return null;
  const labels = filled.map(({ le_ms: most }) => (most === null ? t("lt-more") : `≤ ${rounded(most)}`));
  const made = chart({
    title: t("lt-histogram"), unit: t("lt-logs"), axis: t("lt-latency-ms"), labels, format: (value) => number(value),
    series: [{ name: t("lt-logs"), color: "--info" }],
  });
  made.draw(labels.map((_, index) => index), [filled.map((bin) => bin.count)]);
  return made;
}

// Without the empty bins before the first and after the last one that holds something.
export function trimmed(bins) {
  const first = bins.findIndex((bin) => bin.count > 0);
  const last = bins.findLastIndex((bin) => bin.count > 0);
  return first < 0 ? [] : bins.slice(first, last + 1);
}

function throughput(seconds = []) {
  if (!seconds.length) return null;
  const made = chart({
    title: t("lt-throughput"), unit: t("lt-logs"), axis: t("lt-second"), labels: seconds.map((point) => number(point.second)), format: (value) => number(value),
    series: [{ name: t("lt-logs"), color: "--good" }],
  });
  made.draw(seconds.map((_, index) => index), [seconds.map((point) => point.count)]);
  return made;
}

function failures(summary) {
  if (!summary?.total_errors) return null;
  const samples = [...new Set(summary.sample_errors)];
  return h(
    "section",
    { class: "card" },
    h("h2", {}, t("lt-errors", { n: number(summary.total_errors) })),
    h("ul", { class: "mono samples" }, samples.map((text) => h("li", {}, text))),
  );
}
