import { expect, test } from "vitest";
import { InvalidOption, LogBridge, type Options } from "../../src/index.js";

test.each<[string, Options]>([
  ["timeoutMs", { timeoutMs: 0 }],
  ["timeoutMs", { timeoutMs: Number.NaN }],
  ["retryMs", { retryMs: -1 }],
  ["batchEntriesMax", { batchEntriesMax: 1.5 }],
  ["batchBytesMax", { batchBytesMax: 0 }],
  ["prefix", { prefix: "api" }],
  ["batching.queueEntriesMax", { batching: { queueEntriesMax: 0 } }],
  ["batching.queueBytesMax", { batching: { queueBytesMax: 0 } }],
  ["batching.lingerMs", { batching: { lingerMs: 2 ** 31 } }],
  ["batching.retryMs", { batching: { retryMs: Number.POSITIVE_INFINITY } }],
  ["batching.flushMs", { batching: { flushMs: -1 } }],
])("an impossible %s is refused by name", (name, options) => {
  expect(() => new LogBridge("http://a", options)).toThrow(InvalidOption);
  expect(() => new LogBridge("http://a", options)).toThrow(`${name}: expected`);
});

test("an impossible key is refused without telling it", () => {
  expect(() => new LogBridge("http://a", { key: "secret\r\nx: y" })).toThrow(/^key: (?!.*secret)/);
});

test.each(["", "127.0.0.1:8001", "ftp://a", "http://u:p@a", "http://a?b", "http://a#b"])(
  "%j is no url",
  (url) => {
    expect(() => new LogBridge(url)).toThrow(InvalidOption);
  },
);
