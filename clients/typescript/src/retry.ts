/** When to try again: after what, and how long after. */

import { ProblemError, Unreachable } from "./errors.js";

export const BACKOFF_FIRST_MS = 200;
export const BACKOFF_MAX_MS = 5_000;
export const RETRY_AFTER_MAX_MS = 60_000;

const COME_AGAIN: ReadonlySet<number> = new Set([408, 429, 503, 504]);

/**
 * Whether another attempt may go better. It is safe for whatever this client sends: a question changes
 * nothing, and an entry carries its id and its time, under which the log service stores it once.
 */
export function mayPass(error: unknown): boolean {
  if (error instanceof Unreachable) return true;
  if (!(error instanceof ProblemError)) return false;
  // The bridge's own 502 is a refusal of the log service; a proxy's says that it did not reach the bridge.
  return COME_AGAIN.has(error.status) || (error.status === 502 && !error.isProblem);
}

/** How long to wait before attempt number ``attempt`` + 1: exponential with full jitter, or what was asked. */
export function pauseMs(
  attempt: number,
  retryAfterMs: number | undefined,
  random: () => number = Math.random,
): number {
  const backoffMs = random() * Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** attempt);
  return Math.max(backoffMs, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS));
}

/** Milliseconds of a Retry-After: seconds or a date (RFC 9110, section 10.2.3); undefined for neither. */
export function parseRetryAfter(value: string | null, nowMs: number = Date.now()): number | undefined {
  const text = value?.trim() ?? "";
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  // Each of the three forms of a date begins with a letter; Date.parse alone would read "-1", too.
  const at = /^[A-Z]/i.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** How an operation is tried again. holding: whether a pause keeps a Node process alive. */
export interface Patience {
  /** No attempt begins after it, save the first one; in milliseconds of performance.now(). */
  readonly untilMs: number;
  readonly holding: boolean;
  readonly stop?: AbortSignal | undefined;
}

/** The first result. Throws the error of the last attempt. */
export async function persistently<T>(patience: Patience, attempt: () => Promise<T>): Promise<T> {
  for (let number = 0; ; number += 1) {
    try {
      return await attempt();
    } catch (error) {
      const waitMs = pauseMs(number, error instanceof ProblemError ? error.retryAfterMs : undefined);
      const late = performance.now() + waitMs > patience.untilMs;
      if (late || !mayPass(error) || patience.stop?.aborted) throw error;
      await pause(waitMs, patience);
    }
  }
}

function pause(ms: number, { holding, stop }: Patience): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(ended, ms);
    if (!holding) unref(timer);
    stop?.addEventListener("abort", ended);
    function ended() {
      clearTimeout(timer);
      stop?.removeEventListener("abort", ended);
      resolve();
    }
  });
}

/** In Node a timer keeps the process alive unless it is told not to; in browsers it is a number. */
export function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
}
