// Charts around uPlot, which is loaded with the first one. A chart is never only a picture: its legend has the values
// as text, its picture a summary for readers of screens, and a table has the last values.

import { h, replace } from "./dom.js";
import { clock, language, number, t, words } from "./i18n.js";

words({
  en: {
    "chart-table": "Values as a table", "chart-time": "Time", "chart-none": "The chart could not be loaded: {why}",
    "chart-summary": "{title}, {unit}. Last: {last}. Highest: {most}.", "chart-at": "at {x}", "chart-empty": "{title}: nothing yet.",
  },
  zh: {
    "chart-table": "以表格查看", "chart-time": "时间", "chart-none": "图表加载失败：{why}",
    "chart-summary": "{title}，单位：{unit}。最新：{last}。最高：{most}。", "chart-at": "{x}", "chart-empty": "{title}：暂无数据。",
  },
});

const HEIGHT_PX = 200;
const ROWS = 10;
const DASHES = [[], [6, 3], [2, 3]];
let loading = null;

function library() {
  loading ??= new Promise((done, failed) => {
    const script = h("script", { src: new URL("uPlot.iife.min.js", import.meta.url).href });
    script.onload = () => done(window.uPlot);
    script.onerror = () => {
      loading = null;
      failed(new Error("uPlot.iife.min.js"));
    };
    const style = h("link", { rel: "stylesheet", href: new URL("uPlot.min.css", import.meta.url).href });
    document.head.append(style, script);
  });
  return loading;
}

// title, unit: texts. series: [{name, color}], color the name of a CSS variable. format: a value as text.
// stacked: the values are parts of a whole. labels: of bars, instead of a time axis; then xs are 0, 1, 2, …
// axis: the label of the x axis. Gives {element, draw(xs, columns), close()}; a value of null is a gap.
export function chart(options) {
  const { title, unit, series, format } = options;
  const picture = h("div", { class: "picture", role: "img", "aria-label": t("chart-empty", { title }) });
  const values = series.map(() => h("b", {}, "–"));
  const at = h("span", { class: "soft at" });
  const table = h("div");
  const details = h("details", { ontoggle: () => fillTable() }, h("summary", {}, t("chart-table")), table);
  const element = h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("h3", {}, title), h("small", {}, unit), at),
    picture,
    h("ul", { class: "legend" }, series.map((one, index) => h("li", {}, swatch(one), `${one.name} `, values[index]))),
    details,
  );
  let xs = [];
  let columns = series.map(() => []);
  let plot = null;
  let closed = false;

  function name(index) {
    return options.labels ? options.labels[index] : clock(xs[index] * 1000);
  }

  // Without a cursor: the last value, or what all bars are together.
  function resting(one) {
    return options.labels ? columns[one].reduce((sum, value) => sum + value, 0) : columns[one].at(-1);
  }

  function showValues(index) {
    values.forEach((value, one) => (value.textContent = text(index === null || index === undefined ? resting(one) : columns[one][index], format)));
    at.textContent = index === null || index === undefined ? "" : t("chart-at", { x: name(index) });
  }

  function fillTable() {
    if (!details.open) return;
    const rows = xs.map((_, index) => index);
    const last = options.labels ? rows : rows.slice(-ROWS).reverse();
    const head = [options.axis || t("chart-time"), ...series.map((one) => one.name)];
    replace(
      table,
      h(
        "table",
        { "aria-label": title },
        h("thead", {}, h("tr", {}, head.map((word, index) => h("th", { scope: "col", class: index ? "number" : "" }, word)))),
        h("tbody", {}, last.map((row) => h(
          "tr",
          {},
          h("th", { scope: "row" }, name(row)),
          columns.map((column) => h("td", { class: "number" }, text(column[row], format))),
        ))),
      ),
    );
  }

  function summarize() {
    if (!xs.length) return t("chart-empty", { title });
    if (options.labels) return `${title}, ${unit}. ${xs.map((_, row) => `${name(row)}: ${format(columns[0][row])}`).join("; ")}.`;
    const last = series.map((one, index) => `${one.name} ${text(columns[index].at(-1), format)}`).join("; ");
    const most = series.map((one, index) => `${one.name} ${text(highest([columns[index]]), format)}`).join("; ");
    return t("chart-summary", { title, unit, last, most });
  }

  function build(uPlot) {
    if (closed) return;
    plot?.destroy();
    const shown = uplotOptions(uPlot, options, picture.clientWidth);
    shown.hooks = { setCursor: [(self) => showValues(self.cursor.idx)] };
    plot = new uPlot(shown, prepared(xs, columns, options.stacked), picture);
  }

  const rebuild = () => library().then(build, (error) => {
    replace(picture, h("p", { class: "empty" }, t("chart-none", { why: error.message })));
  });
  const resized = new ResizeObserver(() => plot?.setSize({ width: picture.clientWidth, height: HEIGHT_PX }));
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  resized.observe(picture);
  scheme.addEventListener("change", rebuild);
  window.addEventListener("themechange", rebuild);
  rebuild();

  return {
    element,
    draw(newXs, newColumns) {
      [xs, columns] = [newXs, newColumns];
      plot?.setData(prepared(xs, columns, options.stacked));
      showValues(plot?.cursor.idx);
      picture.setAttribute("aria-label", summarize());
      fillTable();
    },
    close() {
      closed = true;
      resized.disconnect();
      scheme.removeEventListener("change", rebuild);
      window.removeEventListener("themechange", rebuild);
      plot?.destroy();
    },
  };
}

function text(value, format) {
  return value === null || value === undefined ? "–" : format(value);
}

function swatch(one) {
  const made = h("span", { class: "swatch", "aria-hidden": "true" });
  made.style.background = `var(${one.color})`;
  return made;
}

export function highest(columns) {
  return columns.flat().reduce((most, value) => Math.max(most, value ?? 0), 0);
}

// As uPlot wants it. Stacked, each column lies on those before it, and the highest comes first: the next ones cover it.
export function prepared(xs, columns, stacked) {
  if (!stacked) return [xs, ...columns];
  const sums = columns.map((_, index) => xs.map((_x, at) => summed(columns.slice(0, index + 1), at)));
  return [xs, ...sums.reverse()];
}

function summed(columns, at) {
  const values = columns.map((column) => column[at]).filter((value) => value !== null && value !== undefined);
  return values.length ? values.reduce((sum, value) => sum + value, 0) : null;
}

function uplotOptions(uPlot, { series, unit, format, stacked, labels, axis }, width) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const ink = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const words = { ...ink, font, labelFont: font, labelSize: 18 };
  const lines = series.map((one, index) => line(uPlot, one, index, { colour, stacked, labels }));
  return {
    width,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !labels } },
    scales: { x: xScale(labels), y: { range: (_self, _least, most) => [0, Math.max(most || 0, Number.EPSILON) * 1.1 || 1] } },
    axes: [
      { ...words, ...xAxis(labels), label: axis || t("chart-time"), size: 30 },
      { ...words, label: unit, size: widthOf, values: (_self, ticks) => ticks.map(format) },
    ],
    series: [{}, ...(stacked ? lines.reverse() : lines)],
  };
}

function widthOf(_self, values) {
  return values ? 22 + 7 * Math.max(3, ...values.map((value) => value.length)) : 48;
}

function xScale(labels) {
  if (labels) return { time: false, range: [-0.5, labels.length - 0.5] };
  return { time: true, range: (_self, least, most) => [Math.min(least, most - 10), most] };
}

function xAxis(labels) {
  if (!labels) {
    const short = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    return { space: 80, values: (_self, ticks) => ticks.map((second) => short.format(second * 1000)) };
  }
  const step = (self) => Math.max(1, Math.ceil((labels.length * 52) / self.width));
  return {
    grid: { show: false },
    splits: (self) => labels.map((_, index) => index).filter((index) => index % step(self) === 0),
    values: (_self, ticks) => ticks.map((index) => labels[index] ?? ""),
  };
}

function line(uPlot, one, index, { colour, stacked, labels }) {
  const stroke = colour(one.color);
  if (labels) return { stroke, fill: stroke, paths: uPlot.paths.bars({ size: [0.8, 48] }), points: { show: false } };
  if (stacked) return { stroke, fill: stroke, width: 1, points: { show: false } };
  return { stroke, width: 2, dash: DASHES[index % DASHES.length], spanGaps: true, points: { show: isSparse, size: 5, fill: stroke } };
}

// A value among gaps makes no line, and would not be seen.
function isSparse(self, index) {
  return self.data[index].filter((value) => value !== null).length < 60;
}

export function rounded(value) {
  return number(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}
