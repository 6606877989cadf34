// A form that writes logs, with the command that does the same, and the bridge's answer.

import { address } from "./api.js";
import { curl } from "./curl.js";
import { field, h, replace, toast } from "./dom.js";
import { t } from "./i18n.js";
import { post } from "./key.js";
import { session } from "./login.js";
import { answered, unreachable } from "./answer.js";
import { INTEGERS, empty, fieldOf, keep, load, request } from "./request.js";
import "./write-words.js";

const LEVELS = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const MONITOR_TYPES = ["impression", "click", "conversion", "view"];

export function mount(root) {
  let state = load();
  const side = h("div", { class: "side" });
  const command = h("pre", { class: "command", tabindex: "0", "aria-label": t("wr-command") });
  const answer = h("div", { class: "answer", "aria-live": "polite" }, h("p", { class: "empty" }, t("wr-none")));
  const page = { get state() { return state; }, inputs: {}, changed };
  let form = null;

  function changed() {
    keep(state);
    const made = request(state);
    command.textContent = commandOf(made);
  }

  function build() {
    page.inputs = {};
    const fresh = makeForm(page, { send, clear, rebuild: build });
    form ? form.replaceWith(fresh) : side.append(fresh);
    form = fresh;
    changed();
  }

  function clear() {
    state = { ...empty(), mode: state.mode };
    build();
    focus(page);
  }

  async function send() {
    if (form.getAttribute("aria-busy") === "true") return;
    unmark(form);
    const made = request(state);
    if (made.wrong) return mark(page, made.wrong.field, made.wrong.why);
    form.setAttribute("aria-busy", "true");
    try {
      const got = await post(made.name, made.text, made.headers);
      replace(answer, answered(got, state, send));
      if (!got.ok) mark(page, fieldOf(got.status, got.body.detail ?? ""), got.body.detail);
    } catch (error) {
      replace(answer, unreachable(error));
    } finally {
      form.removeAttribute("aria-busy");
    }
  }

  build();
  const copy = h("button", { type: "button", class: "push", onclick: () => copied(command) }, t("wr-copy"));
  root.append(
    h(
      "div",
      { class: "sides" },
      side,
      h(
        "div",
        { class: "side" },
        h("section", { class: "card" }, h("h2", {}, t("wr-answer")), answer),
        h("section", { class: "card" }, h("div", { class: "row command-head" }, h("h2", {}, t("wr-command")), copy), command),
      ),
    ),
  );
  return null;
}

function focus(page) {
  (page.inputs.message ?? page.inputs.entries)?.focus();
}

function commandOf({ name, text, headers }) {
  const all = { "content-type": "application/json", ...(session.keys ? { "x-api-key": "YOUR-KEY" } : {}), ...headers };
  const made = curl(address(name).href, all, text);
  return made.includes("--data-binary @body.json") ? `# ${t("wr-long")}\n${made}` : made;
}

// Without https there is no clipboard for scripts, but the old way still works.
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    toast(t("wr-copied"));
  } catch {
    getSelection().selectAllChildren(element);
    const done = document.execCommand("copy");
    toast(t(done ? "wr-copied" : "wr-not-copied"), done ? "info" : "error");
  }
}

function makeForm(page, { send, clear, rebuild }) {
  const { state } = page;
  const onsubmit = (event) => {
    event.preventDefault();
    send();
  };
  const onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onsubmit(event);
  };
  return h(
    "form",
    { class: "card form", novalidate: true, "aria-label": t("write"), onsubmit, onkeydown },
    modes(page, rebuild),
    state.mode === "batch" ? entries(page) : [log(page), advertising(page), own(page), metadata(page, rebuild)],
    durable(page),
    h(
      "div",
      { class: "row" },
      h("button", { class: "primary" }, t("wr-send")),
      h("button", { type: "button", onclick: clear }, t("wr-clear")),
      h("small", {}, t("wr-keys")),
    ),
  );
}

function modes(page, rebuild) {
  const radios = ["one", "batch"].map((mode) => {
    const onchange = () => {
      page.state.mode = mode;
      rebuild();
      document.querySelector(`input[name=mode][value=${mode}]`).focus();
    };
    const input = h("input", { type: "radio", name: "mode", value: mode, checked: page.state.mode === mode, onchange });
    return h("label", { class: "choice" }, input, t(`wr-${mode}`));
  });
  return h("fieldset", {}, h("legend", {}, t("wr-kind")), h("div", { class: "row" }, radios));
}

function input(page, name, attributes = {}, tag = "input") {
  const { fields } = page.state;
  const oninput = (event) => {
    fields[name] = event.target.value;
    page.changed();
  };
  const made = h(tag, { name, autocomplete: "off", spellcheck: "false", ...attributes, oninput });
  made.value = fields[name] ?? "";
  page.inputs[name] = made;
  return made;
}

function log(page) {
  const level = h("select", { name: "level", onchange: (event) => { page.state.fields.level = event.target.value; page.changed(); } }, LEVELS.map((name) => h("option", { value: name }, name)));
  level.value = page.state.fields.level;
  page.inputs.level = level;
  return h(
    "fieldset",
    {},
    h("legend", {}, t("wr-log")),
    field(t("wr-message"), input(page, "message", { rows: "3" }, "textarea")),
    h("div", { class: "fields two" }, field(t("wr-service"), input(page, "service_name")), field(t("wr-level"), level), ...["trace_id", "span_id"].map((name) => field(t(`wr-${name}`), input(page, name)))),
  );
}

function advertising(page) {
  const types = h("datalist", { id: "monitor-types" }, MONITOR_TYPES.map((name) => h("option", { value: name })));
  const numbers = INTEGERS.map((name) => field(t(`wr-${name}`), input(page, name, { inputmode: "numeric" })));
  const type = field(t("wr-monitor_type"), input(page, "monitor_type", { list: "monitor-types" }));
  return h("fieldset", {}, h("legend", {}, t("wr-ads")), h("div", { class: "fields two" }, numbers, type, types));
}

function own(page) {
  const timestamp = field(t("wr-timestamp"), input(page, "timestamp", { placeholder: "2024-08-30T10:30:45Z" }), t("wr-timestamp-hint"));
  const now = () => {
    page.inputs.timestamp.value = page.state.fields.timestamp = new Date().toISOString();
    page.changed();
  };
  const box = h("div", { class: "with-button" });
  page.inputs.timestamp.replaceWith(box);
  box.append(page.inputs.timestamp, h("button", { type: "button", onclick: now }, t("wr-now")));
  const id = field(t("wr-log_id"), input(page, "log_id"), t("wr-log_id-hint"));
  return h("fieldset", {}, h("legend", {}, t("wr-own")), h("div", { class: "fields" }, timestamp, id));
}

function metadata(page, rebuild) {
  const { state } = page;
  const onchange = (event) => {
    state.asJson = event.target.checked;
    rebuild();
    document.querySelector("#as-json").focus();
  };
  const choice = h("label", { class: "choice" }, h("input", { type: "checkbox", id: "as-json", checked: state.asJson, onchange }), t("wr-as-json"));
  const box = state.asJson ? textarea(page, "json", "metadata", t("wr-json"), '{"user_id": "u1"}') : pairs(page, rebuild);
  return h("fieldset", {}, h("legend", {}, t("wr-metadata")), choice, box);
}

function textarea(page, part, name, label, placeholder, hint = "") {
  const oninput = (event) => {
    page.state[part] = event.target.value;
    page.changed();
  };
  const made = h("textarea", { name, class: "mono", spellcheck: "false", rows: part === "entries" ? "14" : "5", placeholder, oninput });
  made.value = page.state[part];
  page.inputs[name] = made;
  return field(label, made, hint);
}

function entries(page) {
  return textarea(page, "entries", "entries", t("wr-entries"), '[{"message": "one"}, {"message": "two", "level": "ERROR"}]', t("wr-entries-hint"));
}

function pairs(page, rebuild) {
  const all = page.state.pairs;
  const cell = (row, side, label, placeholder) => {
    const oninput = (event) => {
      all[row][side] = event.target.value;
      page.changed();
    };
    return h("input", { "aria-label": label, placeholder, autocomplete: "off", spellcheck: "false", value: all[row][side], oninput });
  };
  const rows = all.map((_, row) => {
    const n = row + 1;
    const remove = () => {
      all.splice(row, 1);
      if (!all.length) all.push(["", ""]);
      rebuild();
      document.querySelector("#add-pair").focus();
    };
    const name = cell(row, 0, t("wr-name", { n }), "user_id");
    page.inputs.metadata ??= name;
    return h("div", { class: "pair" }, name, cell(row, 1, t("wr-value", { n }), "u1"), h("button", { type: "button", "aria-label": t("wr-remove", { n }), onclick: remove }, "×"));
  });
  const add = () => {
    all.push(["", ""]);
    rebuild();
    [...document.querySelectorAll(".pair")].at(-1).querySelector("input").focus();
  };
  return [...rows, h("div", { class: "row" }, h("button", { type: "button", id: "add-pair", onclick: add }, t("wr-add")))];
}

function durable(page) {
  const onchange = (event) => {
    page.state.durable = event.target.checked;
    page.changed();
  };
  const box = h("input", { type: "checkbox", name: "durable", checked: page.state.durable, "aria-describedby": "durable-hint", onchange });
  return h("div", {}, h("label", { class: "choice" }, box, t("wr-durable")), h("small", { id: "durable-hint" }, t("wr-durable-hint")));
}

// The field and, beside it, what is wrong with it. A field that the form does not have is told in the answer only.
function mark(page, name, why) {
  const wrong = page.inputs[name];
  if (!wrong) return;
  const text = h("p", { class: "wrong", id: "wrong", role: "alert" }, why);
  wrong.setAttribute("aria-invalid", "true");
  const before = wrong.getAttribute("aria-describedby");
  if (before) wrong.dataset.described = before;
  wrong.setAttribute("aria-describedby", before ? `${before} wrong` : "wrong");
  (wrong.closest(".pair") ?? wrong.closest(".with-button") ?? wrong).after(text);
  wrong.focus();
}

function unmark(form) {
  form.querySelector("#wrong")?.remove();
  const wrong = form.querySelector('[aria-invalid="true"]');
  if (!wrong) return;
  wrong.removeAttribute("aria-invalid");
  if (wrong.dataset.described) wrong.setAttribute("aria-describedby", wrong.dataset.described);
  else wrong.removeAttribute("aria-describedby");
}
