import { afterAll, expect, test } from "vitest";
import { type Drop, LogBridge } from "../../src/index.js";
import { freePort, portOf, runNode, Scene, stop, stored, until } from "./processes.js";

const scene = new Scene();
afterAll(() => scene.end());

test("a bridge that is killed and started again in the middle loses nothing, and stores nothing twice", async () => {
  const port = await scene.service();
  const [first, url] = await scene.bridge(port);
  const drops: Drop[] = [];
  const bridge = new LogBridge(url, {
    batchEntriesMax: 20,
    batching: { lingerMs: 0, onDrop: (d) => drops.push(d) },
  });
  for (let index = 0; index < 1000; index += 1) bridge.log(`log ${index}`);
  await until(() => bridge.counts.sent > 0);
  await stop(first, "SIGKILL");
  for (let index = 1000; index < 2000; index += 1) bridge.log(`log ${index}`);
  const written = bridge.write("a call that waits");
  await scene.bridge(port, {}, portOf(url));
  expect(await written).toMatchObject({ success: true });
  expect(await bridge.close(60_000)).toBe(true);
  expect(drops).toEqual([]);
  expect(bridge.counts).toEqual({ queued: 0, sent: 2000, refused: 0, dropped: 0 });
  const messages = await stored(url);
  expect(messages).toHaveLength(2001);
  expect(new Set(messages).size).toBe(2001);
});

test("logs of a time without a log service are delivered when it comes back", async () => {
  const port = await freePort();
  const [, url] = await scene.bridge(port, { LOGBRIDGE_RETRY_BUDGET_S: "0.1" });
  const bridge = new LogBridge(url, { batching: { lingerMs: 0 } });
  for (let index = 0; index < 10; index += 1) bridge.log(`away ${index}`, { service_name: "away" });
  expect(await bridge.flush(0)).toBe(false);
  await scene.service(port);
  expect(await bridge.flush(60_000)).toBe(true);
  expect(bridge.counts).toMatchObject({ sent: 10, dropped: 0 });
});

const PROGRAM = `
import { LogBridge } from "logbridge-client";
const bridge = new LogBridge(process.env.LOGBRIDGE_URL, {
  batching: { lingerMs: 3_600_000, flushMs: FLUSH_MS, onDrop: (drop) => console.log("dropped", drop.entries.length, drop.reason) },
});
for (let index = 0; index < 700; index += 1) bridge.log("log " + index);
`;

test("a program that ends right after its logs loses none", async () => {
  const [, url] = await scene.bridge("memory");
  const { code, output } = await runNode(PROGRAM.replace("FLUSH_MS", "60_000"), url);
  expect([code, output]).toEqual([0, ""]);
  expect(new Set(await stored(url)).size).toBe(700);
});

test("a program whose bridge is away ends after flushMs, and says what it lost", async () => {
  const { code, output } = await runNode(
    PROGRAM.replace("FLUSH_MS", "1"),
    `http://127.0.0.1:${await freePort()}`,
  );
  expect([code, output]).toEqual([0, "dropped 700 closed\n"]);
});

test("process.exit loses what was not flushed, close before it nothing", async () => {
  const [, url] = await scene.bridge("memory");
  await runNode(`${PROGRAM.replace("FLUSH_MS", "60_000")}process.exit();`, url);
  expect(await stored(url)).toEqual([]);
  await runNode(`${PROGRAM.replace("FLUSH_MS", "60_000")}await bridge.close(); process.exit();`, url);
  expect(await stored(url)).toHaveLength(700);
});
