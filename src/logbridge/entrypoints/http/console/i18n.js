// Two languages. Each view brings its own words: words({en: {...}, zh: {...}}), then t("key", {n: 3}).

const dictionaries = { en: {}, zh: {} };
const KEY = "logbridge-language";

export let language = initial();

function initial() {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function words(texts) {
  Object.assign(dictionaries.en, texts.en);
  Object.assign(dictionaries.zh, texts.zh);
}

// Changing the language shows the view anew: see app.js.
export function setLanguage(chosen) {
  language = chosen;
  localStorage.setItem(KEY, chosen);
}

export function t(key, values = {}) {
  const text = dictionaries[language][key] ?? dictionaries.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${number(value, value < 10 && unit ? 1 : 0)} ${units[unit]}`;
}

export function clock(date) {
  return new Intl.DateTimeFormat(language, { timeStyle: "medium" }).format(new Date(date));
}

export function moment(date) {
  const wanted = { dateStyle: "short", timeStyle: "medium" };
  return new Intl.DateTimeFormat(language, wanted).format(new Date(date));
}

export function span(seconds) {
  if (seconds < 60) return t("span-s", { n: number(seconds, seconds < 10 ? 1 : 0) });
  if (seconds < 3600) return t("span-m", { n: number(seconds / 60) });
  if (seconds < 172800) return t("span-h", { n: number(seconds / 3600, 1) });
  return t("span-d", { n: number(seconds / 86400, 1) });
}

words({
  en: { "span-s": "{n} s", "span-m": "{n} min", "span-h": "{n} h", "span-d": "{n} days" },
  zh: { "span-s": "{n} 秒", "span-m": "{n} 分钟", "span-h": "{n} 小时", "span-d": "{n} 天" },
});
