/** One HTTP request and its answer; no retries. */

import { problemError, type Said, Unreachable } from "./errors.js";
import { reasonOf } from "./json.js";
import { outliving } from "./keepalive.js";
import type { Checked } from "./options.js";
import { parseRetryAfter } from "./retry.js";

/** Smaller bodies are not worth compressing. */
export const GZIP_BYTES_MIN = 1024;
/** The bridge knows timeoutMs (Request-Timeout); its answer gets so much longer to arrive. */
export const GRACE_MS = 1_000;

/** keepalive: the request may outlive its page, if there is room; it starts at once, without compression. */
export interface Sending {
  readonly keepalive?: boolean;
  readonly stop?: AbortSignal | undefined;
}

export class Transport {
  readonly #options: Checked;
  readonly #base: string;

  constructor(options: Checked) {
    this.#options = options;
    const href = options.url.href.replace(/\/+$/, "");
    // Who copies an address copies the prefix with it, often.
    this.#base = href.endsWith(options.prefix) ? href : href + options.prefix;
  }

  /** POST JSON; gives the JSON of a 2xx. Throws ProblemError or Unreachable. */
  async post(path: string, body: string, sending: Sending = {}): Promise<unknown> {
    const headers = this.#headers();
    headers["content-type"] = "application/json";
    headers["request-timeout"] = String(this.#options.timeoutMs / 1000);
    if (this.#options.durable) headers.prefer = "respond-async";
    const signal = this.#within(sending.stop);
    if (sending.keepalive) {
      const init = { method: "POST", headers, body };
      return worthy(await outliving(body, (keepalive) => this.#ask(path, { ...init, keepalive }, signal)));
    }
    let content: string | ArrayBuffer = body;
    if (this.#options.gzip && body.length >= GZIP_BYTES_MIN) {
      content = await gzipped(body);
      headers["content-encoding"] = "gzip";
    }
    return worthy(await this.#ask(path, { method: "POST", headers, body: content }, signal));
  }

  /** POST lines as they come, in one request. Throws ProblemError or Unreachable. */
  async stream(path: string, lines: ReadableStream<Uint8Array>, stop: AbortSignal): Promise<unknown> {
    const headers = { ...this.#headers(), "content-type": "application/x-ndjson" };
    // Not in every lib.dom yet: a body that is a stream needs it (WHATWG Fetch).
    const init: RequestInit & { duplex: "half" } = { method: "POST", headers, body: lines, duplex: "half" };
    return worthy(await this.#ask(path, init, stop));
  }

  /** GET; gives what was said, whatever the status. Throws Unreachable. */
  async get(path: string): Promise<Said> {
    return this.#ask(path, { headers: this.#headers() }, this.#within());
  }

  #headers(): Record<string, string> {
    const { key } = this.#options;
    return key === undefined ? {} : { authorization: `Bearer ${key}` };
  }

  #within(stop?: AbortSignal): AbortSignal {
    const late = AbortSignal.timeout(this.#options.timeoutMs + GRACE_MS);
    return stop ? AbortSignal.any([late, stop]) : late;
  }

  async #ask(path: string, init: RequestInit, signal: AbortSignal): Promise<Said> {
    const send = this.#options.fetch ?? fetch;
    try {
      // No cookies, and no redirect: a POST that is redirected may come out as a GET.
      const how = { ...init, signal, credentials: "omit", redirect: "manual" } as const;
      const answer = await send(this.#base + path, how);
      return said(answer, await answer.text());
    } catch (error) {
      throw new Unreachable(`no answer from ${this.#base}${path}: ${causeOf(error)}`, { cause: error });
    }
  }
}

/** The JSON of a 2xx. Throws ProblemError. */
export function worthy(answer: Said): unknown {
  if (answer.status < 200 || answer.status > 299 || answer.body === undefined) throw problemError(answer);
  return answer.body;
}

function said(answer: Response, text: string): Said {
  const type = answer.headers.get("content-type") ?? "";
  const body = /^application\/(problem\+)?json\b/.test(type) ? parsed(text) : undefined;
  const members: Record<string, unknown> = isObject(body) ? body : {};
  const { detail, request_id: requestId } = members;
  return {
    status: answer.status,
    detail: typeof detail === "string" ? detail : unexplained(answer, type),
    retryAfterMs: parseRetryAfter(answer.headers.get("retry-after")),
    requestId: typeof requestId === "string" ? requestId : undefined,
    isProblem: type.startsWith("application/problem+json"),
    body,
  };
}

function unexplained(answer: Response, type: string): string {
  if (answer.type === "opaqueredirect" || (answer.status >= 300 && answer.status < 400)) {
    return "a redirect, which is not followed: give the URL that it leads to";
  }
  return `an answer that is not the bridge's (${type || "without a type"}); is a proxy between?`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function gzipped(text: string): Promise<ArrayBuffer> {
  return new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
}

function causeOf(error: unknown): string {
  // Node's fetch says "fetch failed" and keeps the reason within; that of several addresses has only a code.
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof Error)) return reasonOf(error);
  return cause.message || ("code" in cause ? String(cause.code) : reasonOf(error));
}
