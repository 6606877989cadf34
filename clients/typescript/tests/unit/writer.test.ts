import { afterEach, expect, test, vi } from "vitest";
import { type BatchingOptions, type Drop, LogBridge } from "../../src/index.js";
import { KEEPALIVE_BYTES_MAX, keepaliveRoom } from "../../src/keepalive.js";
import { checked } from "../../src/options.js";
import { Transport } from "../../src/transport.js";
import { BatchingWriter } from "../../src/writer.js";
import { fake, refusal, verdicts } from "./fake.js";

const AN_HOUR_MS = 3_600_000;
const LATER = { lingerMs: AN_HOUR_MS };

function logging(fetch: typeof globalThis.fetch, batching: BatchingOptions = {}, more = {}) {
  const drops: Drop[] = [];
  const onDrop = (drop: Drop) => drops.push(drop);
  const options = { fetch, gzip: false, ...more, batching: { ...LATER, onDrop, ...batching } };
  return { bridge: new LogBridge("http://bridge", options), drops, options };
}

afterEach(() => vi.restoreAllMocks());

test("logs wait for others and go together; flush does not wait", async () => {
  const { fetch, requests } = fake();
  const { bridge } = logging(fetch);
  expect([bridge.log("a"), bridge.log("b", { user: 1 })]).toEqual([true, true]);
  expect(requests).toEqual([]);
  expect(await bridge.flush()).toBe(true);
  expect(requests).toEqual([["a", "b"]]);
  expect(bridge.counts).toEqual({ queued: 0, sent: 2, refused: 0, dropped: 0 });
});

test("a full batch goes by itself", async () => {
  const { fetch, requests } = fake();
  const { bridge } = logging(fetch, {}, { batchEntriesMax: 2 });
  for (const message of ["a", "b", "c"]) bridge.log(message);
  await vi.waitUntil(() => bridge.counts.sent === 3, 60_000);
  expect(requests).toEqual([["a", "b"], ["c"]]);
});

test.each<[string, BatchingOptions]>([
  ["entries", { queueEntriesMax: 2 }],
  ["bytes", { queueBytesMax: 280 }],
])("beyond the most %s a log is dropped, counted and reported", async (_, limit) => {
  const { bridge, drops } = logging(fake().fetch, limit);
  expect(["a", "b", "c"].map((message) => bridge.log(message))).toEqual([true, true, false]);
  expect(drops.map((drop) => [drop.reason, drop.entries.length])).toEqual([["queue full", 1]]);
  expect(JSON.parse(drops[0]?.entries[0] ?? "")).toMatchObject({ message: "c" });
  expect(await bridge.close()).toBe(true);
  expect(bridge.counts).toEqual({ queued: 0, sent: 2, refused: 0, dropped: 1 });
});

test("what is refused and what is given up is told apart", async () => {
  const mixed = fake(() => verdicts(422, ["bad", "worse"]));
  const refused = logging(mixed.fetch);
  refused.bridge.log("a");
  refused.bridge.log("b");
  expect(await refused.bridge.flush()).toBe(true);
  expect(refused.drops.map((drop) => [drop.reason, drop.detail])).toEqual([
    ["refused", "bad"],
    ["refused", "worse"],
  ]);
  expect(refused.bridge.counts).toMatchObject({ refused: 2, dropped: 0 });
  const away = logging(fake(() => refusal(503, "away")).fetch, { retryMs: 0 });
  away.bridge.log("a");
  await away.bridge.flush();
  expect(away.drops.map((drop) => [drop.reason, drop.detail])).toEqual([["gave up", "503: away"]]);
  expect(away.bridge.counts).toMatchObject({ refused: 0, dropped: 1 });
});

test("close drops what is left, and every log after it", async () => {
  const never = (() => new Promise(() => {})) as typeof fetch;
  const { bridge, drops } = logging(never);
  bridge.log("a");
  expect(await bridge.close(0)).toBe(false);
  expect(bridge.log("b")).toBe(false);
  expect(drops.map((drop) => drop.reason)).toEqual(["closed", "closed"]);
  expect(bridge.counts).toEqual({ queued: 0, sent: 0, refused: 0, dropped: 2 });
  expect(await bridge.close()).toBe(true);
});

test("nothing is thrown into the program: not by fields, nor by the callback", () => {
  const onDrop = () => {
    throw new Error("of the callback");
  };
  const { bridge } = logging(fake().fetch, { onDrop });
  const fields = {
    get bad() {
      throw new Error("no");
    },
  };
  expect(bridge.log("a", fields)).toBe(false);
  expect(bridge.log("a", null as never)).toBe(false);
  expect(bridge.counts.dropped).toBe(2);
});

test("without a callback the console tells of the first drop, the second, the fourth", async () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  const bridge = new LogBridge("http://bridge", { fetch: fake().fetch });
  await bridge.close();
  for (let count = 0; count < 5; count += 1) bridge.log("late");
  expect(warn.mock.calls.map(([text]) => String(text).match(/\d+ logs/)?.[0])).toEqual([
    "1 logs",
    "2 logs",
    "4 logs",
  ]);
});

test("a page that hides sends at once, with keepalive as far as browsers allow, the rest without", async () => {
  const { fetch, inits } = fake();
  const { options } = logging(fetch);
  const all = checked("http://bridge", options);
  const writer = new BatchingWriter(new Transport(all), all);
  for (let count = 0; count < 9; count += 1) writer.log("x".repeat(KEEPALIVE_BYTES_MAX / 6));
  writer.pageHides(false);
  expect(inits.map((init) => init.keepalive)).toEqual([true, undefined]);
  expect(new TextEncoder().encode(String(inits[0]?.body)).length).toBeLessThanOrEqual(KEEPALIVE_BYTES_MAX);
  expect(await writer.flush()).toBe(true);
  expect(writer.counts.sent).toBe(9);
  expect(keepaliveRoom()).toBe(KEEPALIVE_BYTES_MAX);
});

test("a page that closes sends again what is under way, under the same ids", async () => {
  const { fetch, inits } = fake();
  const { options } = logging(fetch);
  const all = checked("http://bridge", options);
  const writer = new BatchingWriter(new Transport(all), all);
  writer.log("a");
  const flushed = writer.flush();
  writer.pageHides(true);
  expect(inits.map((init) => init.keepalive)).toEqual([undefined, true]);
  expect(inits[0]?.body).toBe(inits[1]?.body);
  expect(await flushed).toBe(true);
  expect(writer.counts).toEqual({ queued: 0, sent: 1, refused: 0, dropped: 0 });
});
