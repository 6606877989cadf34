import { expect, test } from "vitest";
import { problemError, Unreachable } from "../../src/errors.js";
import {
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  mayPass,
  parseRetryAfter,
  pauseMs,
  RETRY_AFTER_MAX_MS,
} from "../../src/retry.js";

const said = { detail: "", retryAfterMs: undefined, requestId: undefined, isProblem: true, body: undefined };

test("Retry-After is read as seconds or as a date", () => {
  const now = Date.parse("Wed, 21 Oct 2015 07:28:00 GMT");
  expect(parseRetryAfter("3", now)).toBe(3000);
  expect(parseRetryAfter("Wed, 21 Oct 2015 07:28:05 GMT", now)).toBe(5000);
  expect(parseRetryAfter("Wed, 21 Oct 2015 07:27:00 GMT", now)).toBe(0);
  for (const nothing of [null, "", "-1", "1.5", "soon"])
    expect(parseRetryAfter(nothing, now)).toBeUndefined();
});

test("the pause is anywhere below a bound that doubles up to its limit", () => {
  expect(pauseMs(0, undefined, () => 0)).toBe(0);
  expect(pauseMs(0, undefined, () => 1)).toBe(BACKOFF_FIRST_MS);
  expect(pauseMs(3, undefined, () => 1)).toBe(BACKOFF_FIRST_MS * 8);
  expect(pauseMs(2000, undefined, () => 1)).toBe(BACKOFF_MAX_MS);
});

test("the pause is at least what Retry-After asks for, up to a minute", () => {
  expect(pauseMs(0, 1500, () => 0)).toBe(1500);
  expect(pauseMs(0, 10 * RETRY_AFTER_MAX_MS, () => 0)).toBe(RETRY_AFTER_MAX_MS);
});

test("what may pass is tried again, what is refused is not", () => {
  expect(mayPass(new Unreachable("gone"))).toBe(true);
  const passing = [408, 429, 503, 504];
  for (const status of [...passing, 400, 401, 403, 404, 409, 413, 415, 422, 500, 501, 502]) {
    expect([status, mayPass(problemError({ ...said, status }))]).toEqual([status, passing.includes(status)]);
  }
  expect(mayPass(problemError({ ...said, status: 502, isProblem: false }))).toBe(true);
  expect(mayPass(new TypeError("a fault of ours"))).toBe(false);
});
