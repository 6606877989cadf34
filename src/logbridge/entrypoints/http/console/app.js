// The frame: which view is shown, who is logged in, language and colours.

import { Problem, address, ask } from "./api.js";
import { h, replace, toast } from "./dom.js";
import { language, setLanguage, t, words } from "./i18n.js";
import * as login from "./login.js";
import * as pulse from "./pulse.js";

words({
  en: {
    skip: "Skip to the content", views: "Views", overview: "Overview", search: "Search", tail: "Live tail",
    write: "Write", test: "Load test", docs: "API docs", theme: "Colours", language: "中文",
    light: "Light", dark: "Dark", auto: "As the system", logout: "Log out {name}", "no-view": "This view could not be loaded: {why}",
  },
  zh: {
    skip: "跳到正文", views: "视图", overview: "概览", search: "搜索", tail: "实时日志",
    write: "写入", test: "压力测试", docs: "API 文档", theme: "配色", language: "English",
    light: "浅色", dark: "深色", auto: "跟随系统", logout: "退出 {name}", "no-view": "无法加载此视图：{why}",
  },
});

const VIEWS = ["overview", "search", "tail", "write", "test"];
const THEME = "logbridge-theme";
const main = document.getElementById("main");
let shown = null;
let turn = 0;

// #search?level=ERROR → ["search", {level: "ERROR"}]
export function place() {
  const [name, query = ""] = location.hash.slice(1).split("?");
  return [VIEWS.includes(name) ? name : "overview", Object.fromEntries(new URLSearchParams(query))];
}

async function show() {
  const mine = ++turn;
  const [name, parameters] = place();
  for (const tab of document.querySelectorAll("#tabs a")) {
    if (tab.hash === `#${name}`) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  // On a phone the row of tabs is wider than the page.
  document.querySelector("#tabs [aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  document.title = `${t(name)} · ${document.body.dataset.title}`;
  try {
    const view = await import(`./${name}.js`);
    if (mine !== turn) return;
    shown?.();
    shown = null;
    replace(main);
    main.dataset.view = name;
    shown = view.mount(main, parameters) || null;
  } catch (error) {
    replace(main, h("p", { class: "notice error" }, t("no-view", { why: error.message })));
  }
}

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", t(element.dataset.label));
  }
  replace(document.getElementById("tools"), tools());
  pulse.paint();
}

function tools() {
  const theme = h(
    "select",
    { "aria-label": t("theme"), onchange: (event) => colour(event.target.value) },
    ["auto", "light", "dark"].map((name) => h("option", { value: name }, t(name))),
  );
  theme.value = localStorage.getItem(THEME) || "auto";
  return [
    h("a", { class: "button", href: document.body.dataset.docs }, t("docs")),
    h("button", { type: "button", lang: language === "zh" ? "en" : "zh-CN", onclick: otherLanguage }, t("language")),
    theme,
    login.session.name ? h("button", { type: "button", onclick: leave }, t("logout", { name: login.session.name })) : null,
  ];
}

function otherLanguage() {
  setLanguage(language === "zh" ? "en" : "zh");
  translate();
  show();
}

function colour(name) {
  localStorage.setItem(THEME, name);
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  window.dispatchEvent(new Event("themechange"));
}

async function leave() {
  await ask(address("session"), { method: "DELETE" }).catch((error) => toast(error.message, "error"));
  location.reload();
}

async function start() {
  document.body.dataset.title = document.title;
  colour(localStorage.getItem(THEME) || "auto");
  translate();
  try {
    await login.enter(main);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast(error.message, "error");
  }
  translate();
  pulse.start();
  window.addEventListener("hashchange", show);
  await show();
}

start();
