// The concurrent test: many generated logs, each a write of its own. It goes on while another view is shown.

import { Problem, address, ask, posted } from "./api.js";
import { rounded } from "./chart.js";
import { field, h, replace } from "./dom.js";
import { number, t } from "./i18n.js";
import { keyHeaders, refusal } from "./key.js";
import { listen } from "./pulse.js";
import { report } from "./test-report.js";
import "./test-words.js";

// asked: {count, max_workers}. progress: as the bridge tells it, or null. result: its report. problem: why it ended.
const run = { asked: { count: 500, max_workers: 20 }, running: null, progress: null, result: null, problem: null, cancelled: false };
const limits = { count: 0, max_workers: 0 };
let changed = () => {};

export function mount(root) {
  const controls = form();
  const progress = progressCard();
  const outcome = h("div", { class: "side" });
  let shown = null;
  root.append(h("div", { class: "side" }, controls.element, progress.element, outcome));

  function paint() {
    controls.paint();
    progress.paint();
    const now = run.result ?? run.problem;
    if (now === shown?.of) return;
    shown?.close();
    shown = now ? { of: now, ...ended() } : null;
    replace(outcome, shown?.elements ?? []);
  }

  changed = paint;
  const stop = listen(({ stats }) => {
    if (stats?.workers) limits.count = Math.round(stats.performance.in_flight.entries_max / stats.workers);
    controls.paint();
  });
  askLimits().then(controls.paint);
  paint();
  return () => {
    changed = () => {};
    stop();
    shown?.close();
  };
}

// The health tells it, whatever its status.
async function askLimits() {
  const health = await ask(address("health")).catch((error) => error.body ?? {});
  limits.max_workers = health.service_info?.max_workers ?? 0;
}

function ended() {
  const { problem, result } = run;
  const told = problem && (refusal(problem.status, problem.message, "test", start) ?? h("p", { class: "notice error", role: "alert" }, problem.message));
  const counted = result ?? (problem?.body?.total_count ? problem.body : null);
  const made = counted ? report(counted) : { elements: [], close() {} };
  return { elements: [told, ...made.elements].filter(Boolean), close: made.close };
}

async function start() {
  if (run.running) return;
  const aborting = new AbortController();
  Object.assign(run, { running: aborting, progress: null, result: null, problem: null, cancelled: false });
  changed();
  try {
    for await (const { event, data } of posted("concurrent-test", run.asked, { signal: aborting.signal, headers: keyHeaders() })) {
      if (event === "progress") run.progress = data;
      else if (event === "result") run.result = data;
      else if (event === "problem") throw new Problem(data.status, data.detail, data);
      changed();
    }
    if (!run.result && !run.problem) run.problem = new Problem(0, t("lt-broken"));
  } catch (error) {
    if (aborting.signal.aborted) run.cancelled = true;
    else run.problem = error instanceof Problem ? error : new Problem(0, t("lt-broken-why", { why: error.message }));
  } finally {
    run.running = null;
    changed();
  }
}

function form() {
  const inputs = Object.fromEntries(["count", "max_workers"].map((name) => {
    const oninput = (event) => (run.asked[name] = event.target.valueAsNumber);
    return [name, h("input", { type: "number", name, min: "1", step: "1", required: true, inputmode: "numeric", value: String(run.asked[name]), oninput })];
  }));
  const fields = Object.entries(inputs).map(([name, input]) => field(t(`lt-${name}`), input, t("lt-no-limit")));
  const go = h("button", { class: "primary" }, t("lt-start"));
  const cancel = h("button", { type: "button", onclick: () => run.running?.abort() }, t("lt-cancel"));
  const onsubmit = (event) => {
    event.preventDefault();
    start();
    cancel.focus();
  };
  const element = h("form", { class: "card form", onsubmit, "aria-label": t("test") }, h("h2", {}, t("test")), h("p", {}, t("lt-what")), h("div", { class: "fields two few" }, fields), h("div", { class: "row" }, go, cancel));
  return {
    element,
    paint() {
      Object.entries(inputs).forEach(([name, input], index) => {
        if (!limits[name]) return;
        input.max = String(limits[name]);
        const hint = t("lt-limit", { n: number(limits[name]) });
        const place = fields[index].querySelector("small");
        if (place.textContent !== hint) place.textContent = hint;
      });
      const hadFocus = document.activeElement === cancel;
      go.disabled = Boolean(run.running);
      cancel.disabled = !run.running;
      if (hadFocus && !run.running) go.focus();
    },
  };
}

function progressCard() {
  const bar = h("progress", { max: 1, "aria-label": t("lt-progress") });
  const text = h("p", { class: "progress-text" });
  const spoken = h("p", { role: "status" });
  const element = h("section", { class: "card" }, h("h2", {}, t("lt-progress")), bar, text, spoken);
  return {
    element,
    paint() {
      const { progress, running, result, problem, cancelled } = run;
      element.hidden = !running && !result && !problem && !cancelled;
      text.textContent = progressText();
      const done = progress ? progress.done / progress.total : 0;
      if (running && !progress) bar.removeAttribute("value");
      else bar.value = result ? 1 : done;
      bar.setAttribute("aria-valuetext", text.textContent);
      const said = running ? t("lt-running") : cancelled ? t("lt-cancelled") : result ? t("lt-done") : problem ? t("lt-failed") : "";
      if (spoken.textContent !== said) spoken.textContent = said;
    },
  };
}

function progressText() {
  const { progress, result } = run;
  const now = result ? { ...result, done: result.success_count + result.failed_count, total: result.total_count } : progress;
  if (!now) return run.running ? t("lt-no-progress") : "";
  return t("lt-numbers", {
    done: number(now.done), total: number(now.total), rate: number(now.logs_per_second), failed: number(now.failed_count), seconds: rounded(now.duration_seconds),
  });
}
