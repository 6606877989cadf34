import { expect, test } from "vitest";
import { DEPTH_MAX, toJson, wellFormed } from "../../src/json.js";

test("integers keep all their digits, as bigint or as whole number", () => {
  const big = 12345678901234567890123n;
  expect(toJson({ adv_id: big, negative: -big, zero: 0n })).toBe(
    '{"adv_id":12345678901234567890123,"negative":-12345678901234567890123,"zero":0}',
  );
  expect(toJson([1e21, -0, 9007199254740992])).toBe("[1000000000000000000000,0,9007199254740992]");
});

test("what JSON.stringify writes well is written the same", () => {
  const value = {
    a: [1.5, null, true, "é\n\u0000"],
    at: new Date(0),
    left: undefined,
    f() {},
    list: [undefined],
  };
  expect(toJson(value)).toBe(JSON.stringify(value));
});

test("what JSON.stringify loses stays readable", () => {
  expect(toJson([Number.NaN, Number.POSITIVE_INFINITY])).toBe('["NaN","Infinity"]');
  expect(toJson(new Map([["a", new Set([1n])]]))).toBe('{"a":[1]}');
  expect(toJson({ error: new RangeError("why") })).toContain("RangeError: why");
});

test("nothing throws: circles, depth, getters and toJSON", () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  expect(toJson(circle)).toBe('{"self":"[circular]"}');
  let deep: unknown = 1;
  for (let level = 0; level < DEPTH_MAX + 5; level += 1) deep = [deep];
  expect(toJson(deep)).toContain("[nested too deeply]");
  const bad = {
    get no() {
      throw new Error("no");
    },
  };
  expect(toJson({ bad, good: 1 })).toBe('{"bad":"[not readable: no]","good":1}');
  const worse = {
    toJSON() {
      throw null;
    },
  };
  expect(toJson([worse])).toBe('["[not readable: null]"]');
});

test("half of a surrogate pair becomes U+FFFD, whole pairs stay", () => {
  expect(wellFormed("a\ud800b\udc00c😀\ud800")).toBe("a\ufffdb\ufffdc😀\ufffd");
  expect(toJson({ "\udfff": "\ud83d" })).toBe('{"\ufffd":"\ufffd"}');
});

test("the same value twice is no circle", () => {
  const shared = { a: 1 };
  expect(toJson([shared, shared])).toBe('[{"a":1},{"a":1}]');
});
