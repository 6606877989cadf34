import { expect, test } from "vitest";
import { BadRequest, LogBridge, Unauthorized, Unreachable } from "../../src/index.js";
import { accept, fake, refusal, verdicts } from "./fake.js";

const entries = ["a", "b", "c", "d"].map((message) => ({ message }));

function bridge(fetch: typeof globalThis.fetch, more = {}) {
  return new LogBridge("http://bridge", { fetch, gzip: false, ...more });
}

test("only what failed goes again, and what is refused alone is refused", async () => {
  const { fetch, requests } = fake(
    () => verdicts(200, ["", "bad", "", "busy"]),
    () => verdicts(200, ["bad", ""]),
    () => verdicts(422, ["bad"]),
  );
  const result = await bridge(fetch).writeBatch(entries);
  expect(requests).toEqual([["a", "b", "c", "d"], ["b", "d"], ["b"]]);
  expect(result).toMatchObject({
    total_count: 4,
    success_count: 3,
    error_count: 1,
    errors: ["Entry 1: bad"],
  });
  expect(result.results.map((each) => each.success)).toEqual([true, false, true, true]);
});

test("a batch that is too large goes in halves", async () => {
  const { fetch, requests } = fake(
    () => refusal(413, "too large"),
    accept,
    () => refusal(413, "too large"),
  );
  const result = await bridge(fetch).writeBatch(entries);
  expect(requests).toEqual([["a", "b", "c", "d"], ["a", "b"], ["c", "d"], ["c"], ["d"]]);
  expect(result.success_count).toBe(4);
});

test("a lost connection and a busy bridge are tried again with the same entries", async () => {
  const { fetch, requests, inits } = fake(
    () => new TypeError("fetch failed"),
    () => new Response("bad gateway", { status: 502 }),
    () => refusal(504, "may have been written"),
  );
  const result = await bridge(fetch).writeBatch(entries);
  expect(result.success_count).toBe(4);
  expect(requests).toHaveLength(4);
  expect(new Set(inits.map((init) => init.body)).size).toBe(1);
});

test("a batch of which nothing was accepted throws what it failed with", async () => {
  await expect(bridge(fake(() => refusal(401, "no key")).fetch).writeBatch(entries)).rejects.toThrow(
    Unauthorized,
  );
  const broken = fake(() => new TypeError("fetch failed"));
  await expect(bridge(broken.fetch, { retryMs: 0 }).writeBatch(entries)).rejects.toThrow(Unreachable);
  expect(broken.requests).toHaveLength(1);
  const one = bridge(fake(() => refusal(400, "why")).fetch).writeBatch([{ message: "a" }]);
  await expect(one).rejects.toThrow(BadRequest);
});

test("an answer that names no entry is never taken for an acceptance, nor asked for without end", async () => {
  const { fetch, requests } = fake(() => Response.json({}));
  expect((await bridge(fetch).writeBatch(entries)).error_count).toBe(4);
  expect(requests).toHaveLength(1);
});

test("large batches go in several requests, within both limits", async () => {
  const { fetch, requests } = fake();
  await bridge(fetch, { batchEntriesMax: 3 }).writeBatch(entries);
  expect(requests).toEqual([["a", "b", "c"], ["d"]]);
  const small = fake();
  await bridge(small.fetch, { batchBytesMax: 1 }).writeBatch(entries);
  expect(small.requests).toEqual([["a"], ["b"], ["c"], ["d"]]);
});

test("no entries are no request", async () => {
  const { fetch, requests } = fake();
  expect(await bridge(fetch).writeBatch([])).toMatchObject({ total_count: 0, results: [] });
  expect(requests).toEqual([]);
});

test.each([
  ["http://bridge", "http://bridge/api/v1/logs/batch"],
  ["http://bridge/logs/", "http://bridge/logs/api/v1/logs/batch"],
  ["http://bridge/api/v1/logs/", "http://bridge/api/v1/logs/batch"],
])("the address may hold the prefix: %s", async (url, asked) => {
  const { fetch } = fake();
  const urls: unknown[] = [];
  const spying: typeof globalThis.fetch = (input, init) => {
    urls.push(input);
    return fetch(input, init);
  };
  await new LogBridge(url, { fetch: spying, gzip: false }).writeBatch(entries);
  expect(urls.map(String)).toEqual([asked]);
});
