// Sending a key with a request that the session's cookie does not open. The key stays in the memory of this page.

import { address, reach } from "./api.js";
import { field, h, replace } from "./dom.js";
import { t, words } from "./i18n.js";
import { session } from "./login.js";

words({
  en: {
    "key-needed": "The bridge wants a key for this: {why}", "key-own": "Key for this page",
    "key-own-hint": "It is sent as X-API-Key and kept until this page is closed or loaded again.", "key-again": "Send again with it",
    "key-forbidden": "The bridge does not allow it: {why}",
    "key-scope": "Log in with a key that may do it: logbridge key create NAME --scope {scope}.",
    "key-open": "Open the console on the bridge's own machine, set LOGBRIDGE_OPEN={scope}, or use keys (LOGBRIDGE_KEYS_FILE).",
  },
  zh: {
    "key-needed": "此操作需要密钥：{why}", "key-own": "本页使用的密钥",
    "key-own-hint": "以 X-API-Key 发送，仅保存在内存中，关闭或刷新页面后失效。", "key-again": "使用此密钥重新发送",
    "key-forbidden": "没有权限：{why}",
    "key-scope": "请用具备相应权限的密钥登录：logbridge key create 名称 --scope {scope}。",
    "key-open": "请在日志桥本机打开控制台，或设置 LOGBRIDGE_OPEN={scope}，或启用密钥（LOGBRIDGE_KEYS_FILE）。",
  },
});

let key = "";

export function keyHeaders() {
  return key ? { "x-api-key": key } : {};
}

// The answer to JSON text: {status, ok, body, took_ms}. Raises Problem where nobody answers.
export async function post(name, text, headers = {}) {
  const began = performance.now();
  const answer = await reach(address(name), {
    method: "POST",
    headers: { "content-type": "application/json", ...headers, ...keyHeaders() },
    body: text,
  });
  const body = await answer.json().catch(() => ({}));
  return { status: answer.status, reason: answer.statusText, ok: answer.ok, body, took_ms: performance.now() - began };
}

// What to do about a 401 or 403, as elements; null for other statuses. again: sends it once more.
export function refusal(status, why, scope, again) {
  if (status === 403) {
    const advice = session.keys ? t("key-scope", { scope }) : t("key-open", { scope });
    return h("div", { class: "notice error" }, h("p", {}, t("key-forbidden", { why })), h("p", {}, advice));
  }
  if (status !== 401) return null;
  const input = h("input", { type: "password", autocomplete: "off", required: true });
  const form = h(
    "form",
    {
      class: "form",
      onsubmit: (event) => {
        event.preventDefault();
        key = input.value.trim();
        replace(form);
        again();
      },
    },
    h("p", { class: "notice error" }, t("key-needed", { why })),
    field(t("key-own"), input, t("key-own-hint")),
    h("div", { class: "row" }, h("button", { class: "primary" }, t("key-again"))),
  );
  return form;
}
