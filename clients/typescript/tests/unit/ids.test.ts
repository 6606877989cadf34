import { expect, test } from "vitest";
import { newId } from "../../src/ids.js";

test("ids are UUIDs of version 7 and sort by time", () => {
  const early = newId(0x017f22e279b0);
  expect(early).toMatch(/^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(newId(0x017f22e279b1) > early).toBe(true);
  expect(new Set(Array.from({ length: 1000 }, () => newId(1))).size).toBe(1000);
});
