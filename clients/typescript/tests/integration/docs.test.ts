import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as client from "../../src/index.js";
import { BATCHING_DEFAULTS, DEFAULTS } from "../../src/options.js";
import { blocksOf, PAGE } from "./docs.js";
import { ROOT, runNode, Scene, stored } from "./processes.js";

const run = promisify(execFile);
const scene = new Scene();
let url = "";

beforeAll(async () => {
  [, url] = await scene.bridge("memory");
});
afterAll(() => scene.end());

test("the examples for Node do what the page says", async () => {
  const [first = "", second = ""] = blocksOf("js").map((code) =>
    code.replaceAll("http://127.0.0.1:8001", url),
  );
  expect(await runNode(first, url)).toEqual({ code: 0, output: "" });
  expect(await stored(url)).toEqual(["paid"]);
  const { code, output } = await runNode(second, url);
  expect(output).toMatch(/^2 \[ 'Entry 1: .*' \]\n1 message\n409 .+\n$/);
  expect(code).toBe(0);
});

test("a packed file installs without a registry, and holds what it needs", async () => {
  const env = { ...process.env, npm_config_offline: "true", npm_config_cache: join(scene.folder, "cache") };
  await run("npm", ["pack", join(ROOT, "clients/typescript")], { cwd: scene.folder, env });
  const [file = ""] = readdirSync(scene.folder).filter((name) => name.endsWith(".tgz"));
  expect(PAGE).toContain(`npm install ./${file}`);
  await run("npm", ["install", `./${file}`], { cwd: scene.folder, env });
  const program = 'import("logbridge-client").then(({ LogBridge }) => console.log(typeof LogBridge))';
  const { stdout } = await run(process.execPath, ["--eval", program], { cwd: scene.folder });
  expect(stdout).toBe("function\n");
});

test("every setting is in the table, with its default", () => {
  const rows = Array.from(PAGE.matchAll(/^\| `([\w.]+)` \| ([^|]+) \| [^|]+ \|$/gm), ([, name, value]) => [
    name,
    value,
  ]);
  const shown = new Map(rows as [string, string][]);
  const all = [
    ...Object.entries(DEFAULTS),
    ...Object.entries(BATCHING_DEFAULTS).map(([name, value]) => [`batching.${name}`, value] as const),
  ];
  for (const [name, value] of all)
    expect([name, shown.get(name)?.replaceAll("`", "")]).toEqual([name, String(value)]);
});

test("every error is in the table", () => {
  for (const name of Object.keys(client)) expect(PAGE).toContain(name);
});
