import { afterAll, beforeAll, expect, test } from "vitest";
import {
  Conflict,
  Forbidden,
  InvalidEntry,
  LogBridge,
  TooLarge,
  Unauthorized,
  Unavailable,
  Unreachable,
} from "../../src/index.js";
import { checked } from "../../src/options.js";
import { streamBatches } from "../../src/stream.js";
import { Transport } from "../../src/transport.js";
import { freePort, Scene, stored, until } from "./processes.js";

const scene = new Scene();
let url = "";

beforeAll(async () => {
  [, url] = await scene.bridge(await scene.service());
});
afterAll(() => scene.end());

async function one(filters: object) {
  for await (const page of new LogBridge(url).query(filters)) return page.logs[0];
  return undefined;
}

test("a log comes back as it was written, integers with all their digits", async () => {
  const bridge = new LogBridge(url, { serviceName: "shop" });
  const answer = await bridge.write("paid", {
    level: "warning",
    adv_id: 9007199254740993n,
    aweme_id: 2n ** 80n,
    timestamp: new Date("2024-08-30T10:30:45.123Z"),
    trace_id: "t",
    user: "u",
    amount: 12.5,
    nested: { ids: [2n ** 64n], at: new Date(0) },
    half: "\ud800",
  });
  expect(answer).toMatchObject({ success: true, error_message: "" });
  expect(await one({ service_name: "shop", trace_id: "t", metadata: { user: "u" } })).toEqual({
    id: answer.log_id,
    service_name: "shop",
    level: "WARN",
    message: "paid",
    timestamp: "2024-08-30T10:30:45.123Z",
    trace_id: "t",
    span_id: "",
    metadata: {
      adv_id: "9007199254740993",
      aweme_id: "1208925819614629174706176",
      user: "u",
      amount: "12.5",
      nested: '{"ids":[18446744073709551616],"at":"1970-01-01T00:00:00.000Z"}',
      half: "\ufffd",
    },
  });
});

test("of a batch each entry has its result, and large ones are compressed", async () => {
  const entries = Array.from({ length: 1200 }, (_, index) => ({
    message: `batch ${index}`,
    service_name: "batch",
  }));
  const result = await new LogBridge(url).writeBatch([...entries, { message: "" }]);
  expect(result).toMatchObject({ total_count: 1201, success_count: 1200, error_count: 1 });
  expect(result.errors[0]).toMatch(/^Entry 1200: .*message/);
  const seen: string[] = [];
  let pages = 0;
  for await (const page of new LogBridge(url).query({ service_name: "batch", limit: 500 })) {
    pages += 1;
    seen.push(...page.logs.map((log) => log.message));
  }
  expect(pages).toBe(3);
  expect(new Set(seen).size).toBe(1200);
});

test("newer logs that come meanwhile move no page", async () => {
  const bridge = new LogBridge(url, { serviceName: "moving" });
  await bridge.writeBatch(Array.from({ length: 300 }, (_, index) => ({ message: String(index) })));
  const seen: string[] = [];
  for await (const page of bridge.query({ service_name: "moving", limit: 100 })) {
    seen.push(...page.logs.map((log) => log.message));
    await bridge.writeBatch(Array.from({ length: 50 }, () => ({ message: "meanwhile" })));
  }
  expect(seen.filter((message) => message !== "meanwhile").length).toBe(300);
  expect(new Set(seen).size).toBe(300);
});

test("a stream in batches tells which entries failed", async () => {
  async function* entries() {
    for (let index = 0; index < 25; index += 1) yield { message: index === 12 ? "" : `chunk ${index}` };
  }
  const options = checked(url, { batchEntriesMax: 10 });
  const result = await streamBatches(new Transport(options), options, entries());
  expect(result).toMatchObject({
    total_count: 25,
    success_count: 24,
    error_count: 1,
    errors_truncated: false,
    stopped: "",
  });
  expect(result.errors.map((error) => error.line)).toEqual([13]);
});

test("a stream goes in one request, in the order of its entries", async () => {
  let given = 0;
  async function* entries() {
    for (; given < 5000; given += 1)
      yield { message: given === 40 ? "" : `line ${given}`, service_name: "lines" };
  }
  const result = await new LogBridge(url).stream(entries());
  expect(result).toMatchObject({ total_count: 5000, success_count: 4999, error_count: 1, stopped: "" });
  expect(result.errors.map((error) => error.line)).toEqual([41]);
});

test("what a stream's source throws is thrown, and a source that is not needed is closed", async () => {
  async function* broken() {
    yield { message: "before" };
    throw new RangeError("of the source");
  }
  await expect(new LogBridge(url).stream(broken())).rejects.toThrow("of the source");
  let closed = false;
  async function* endless() {
    try {
      for (;;) yield { message: "again" };
    } finally {
      closed = true;
    }
  }
  const nobody = new LogBridge(`http://127.0.0.1:${await freePort()}`);
  await expect(nobody.stream(endless())).rejects.toThrow(Unreachable);
  await until(() => closed);
});

test("a stream in batches stops where the bridge is away", async () => {
  const options = checked(`http://127.0.0.1:${await freePort()}`, { batchEntriesMax: 1, retryMs: 0 });
  const entries = [{ message: "a" }, { message: "b" }];
  await expect(streamBatches(new Transport(options), options, entries)).rejects.toThrow(Unreachable);
});

test("errors have a class, a status and the bridge's own words", async () => {
  const bridge = new LogBridge(url, { retryMs: 0 });
  const invalid = bridge.write("a", { adv_id: "no number" as never });
  await expect(invalid).rejects.toThrow(InvalidEntry);
  await expect(invalid).rejects.toMatchObject({ status: 422, detail: expect.stringContaining("adv_id") });
  await bridge.write("a", { log_id: "taken" });
  await expect(bridge.write("b", { log_id: "taken" })).rejects.toThrow(Conflict);
  await expect(bridge.write("x".repeat(300_000))).rejects.toThrow(TooLarge);
});

test("health says so when the log service is away, and writes say it, too", async () => {
  expect(await new LogBridge(url).health()).toMatchObject({ status: "healthy", grpc_connection: true });
  const [, lonely] = await scene.bridge(await freePort(), { LOGBRIDGE_RETRY_BUDGET_S: "0.1" });
  const bridge = new LogBridge(lonely, { retryMs: 0 });
  expect(await bridge.health()).toMatchObject({ status: "unhealthy", grpc_connection: false });
  const write = bridge.write("a");
  await expect(write).rejects.toThrow(Unavailable);
  await expect(write).rejects.toMatchObject({ retryAfterMs: expect.any(Number) });
  const nobody = new LogBridge(`http://127.0.0.1:${await freePort()}`, { retryMs: 0 });
  await expect(nobody.write("a")).rejects.toThrow(Unreachable);
  await expect(nobody.health()).rejects.toThrow(/ECONNREFUSED/);
});

test("a key is shown, and is for what it is for", async () => {
  const path = `${scene.folder}/keys.json`;
  const made = await scene.run("key", "create", "shop", "--scope", "write", "--keys-file", path);
  const key = /lbk_\S+/.exec(made)?.[0] ?? "";
  const [, closed] = await scene.bridge("memory", { LOGBRIDGE_KEYS_FILE: path });
  await expect(new LogBridge(closed).write("a")).rejects.toThrow(Unauthorized);
  const bridge = new LogBridge(closed, { key });
  expect(await bridge.write("a")).toMatchObject({ success: true });
  await expect(bridge.query().next()).rejects.toThrow(Forbidden);
});

test("a durable write is on the disk of the bridge, while the log service is away", async () => {
  const [, spooling] = await scene.bridge(await freePort(), {
    LOGBRIDGE_SPOOL: `sqlite:///${scene.folder}/spool`,
  });
  expect(await new LogBridge(spooling, { durable: true }).write("a")).toMatchObject({ success: true });
});

test("what was logged in the background is there after flush", async () => {
  const [, fresh] = await scene.bridge("memory");
  const bridge = new LogBridge(fresh);
  for (let index = 0; index < 1500; index += 1) bridge.log(`log ${index}`);
  expect(await bridge.close()).toBe(true);
  expect(bridge.counts).toEqual({ queued: 0, sent: 1500, refused: 0, dropped: 0 });
  expect(new Set(await stored(fresh)).size).toBe(1500);
});
