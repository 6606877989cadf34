// Logging in with a key, where this bridge asks for keys: the browser then keeps a session cookie.

import { Problem, address, ask } from "./api.js";
import { field, h, replace } from "./dom.js";
import { t, words } from "./i18n.js";

words({
  en: {
    "login-title": "Log in", key: "Key", "key-hint": "As `logbridge key create` printed it; it needs the scope read.",
    "login-go": "Log in", "login-wrong": "The bridge does not take this key: {why}",
  },
  zh: {
    "login-title": "登录", key: "密钥", "key-hint": "即 `logbridge key create` 打印的内容，需要 read 权限。",
    "login-go": "登录", "login-wrong": "密钥未被接受：{why}",
  },
});

// Who we are to the bridge: keys, name, scopes, services.
export let session = { keys: false, name: "", scopes: [], services: [] };

export function may(scope) {
  return session.scopes.includes(scope) || session.scopes.includes("admin");
}

// Returns once the bridge lets us in.
export async function enter(root) {
  try {
    session = await ask(address("session"));
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    session = await asked(root);
  }
}

function asked(root) {
  return new Promise((entered) => {
    const key = h("input", { type: "password", name: "key", autocomplete: "current-password", required: true });
    const wrong = h("p", { class: "notice error", role: "alert", hidden: true });
    const form = h(
      "form",
      {
        class: "card login",
        onsubmit: async (event) => {
          event.preventDefault();
          wrong.hidden = true;
          try {
            entered(await ask(address("session"), { method: "POST", headers: { "x-api-key": key.value.trim() } }));
          } catch (error) {
            wrong.textContent = t("login-wrong", { why: error.message });
            wrong.hidden = false;
            key.select();
          }
        },
      },
      h("h2", {}, t("login-title")),
      field(t("key"), key, t("key-hint")),
      wrong,
      h("button", { class: "primary" }, t("login-go")),
    );
    replace(root, form);
    key.focus();
  });
}
