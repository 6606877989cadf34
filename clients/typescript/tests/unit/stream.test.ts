import { expect, test } from "vitest";
import { checked } from "../../src/options.js";
import { ERRORS_MAX, streamBatches } from "../../src/stream.js";
import { Transport } from "../../src/transport.js";
import { accept, fake, refusal, verdicts } from "./fake.js";

function streaming(fetch: typeof globalThis.fetch, count: number) {
  const options = checked("http://bridge", { fetch, gzip: false, batchEntriesMax: 1, retryMs: 0 });
  const entries = Array.from({ length: count }, (_, index) => ({ message: String(index) }));
  return streamBatches(new Transport(options), options, entries);
}

test("the first errors are told, the others counted", async () => {
  const many = fake(accept, ...Array(ERRORS_MAX + 1).fill(() => verdicts(422, ["bad"])));
  const result = await streaming(many.fetch, ERRORS_MAX + 2);
  expect(result).toMatchObject({
    success_count: 1,
    error_count: ERRORS_MAX + 1,
    errors_truncated: true,
    stopped: "",
  });
  expect(result.errors).toHaveLength(ERRORS_MAX);
  expect(result.errors[0]).toMatchObject({ line: 2, error_message: "bad" });
});

test("it stops at the first batch that cannot be delivered, and says how far it came", async () => {
  const { fetch, requests } = fake(accept, () => refusal(503, "away"));
  const result = await streaming(fetch, 5);
  expect(result).toMatchObject({
    total_count: 2,
    success_count: 1,
    error_count: 1,
    lines_read: 2,
    stopped: "503: away",
  });
  expect(requests).toHaveLength(2);
});
