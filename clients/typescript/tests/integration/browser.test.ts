import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { blocksOf } from "./docs.js";
import { freePort, ROOT, Scene, stored, until } from "./processes.js";

const CHROMIUM = process.env.LOGBRIDGE_CHROMIUM ?? "/usr/bin/chromium";
const [IMPORT_MAP = ""] = /<script type="importmap">.*<\/script>/.exec(blocksOf("html")[0] ?? "") ?? [];
const PAGE = `<!doctype html><title>a page</title>${IMPORT_MAP}
<script type="module">
  import { LogBridge } from "logbridge-client";
  window.open_bridge = (url, batching) => { window.bridge = new LogBridge(url, { serviceName: "web", batching }); };
</script>`;
const AN_HOUR_MS = 3_600_000;

describe.skipIf(!existsSync(CHROMIUM))(`in Chromium, ${CHROMIUM}`, () => {
  const scene = new Scene();
  const pages = new Map<string, string>([["/", PAGE]]);
  let server: Server;
  let browser: Browser;
  let origin = "";
  let url = "";

  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = request.url ?? "";
      const module = /^\/logbridge-client\/(\w+\.js)$/.exec(path)?.[1];
      const text = module
        ? readFileSync(join(ROOT, "clients/typescript/dist", module), "utf8")
        : pages.get(path);
      response.writeHead(text === undefined ? 404 : 200, {
        "content-type": module ? "text/javascript" : "text/html; charset=utf-8",
      });
      response.end(text);
    });
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${port}`;
    [, url] = await scene.bridge("memory", { LOGBRIDGE_CORS_ORIGINS: origin });
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
    await scene.end();
  });

  /** A page that may write, as it knows, and logs; from then on it sends nothing by itself. */
  async function logged(messages: string[]) {
    const page = await browser.newPage();
    await page.goto(origin);
    await page.waitForFunction("window.open_bridge");
    await page.evaluate(`open_bridge(${JSON.stringify(url)}, { lingerMs: ${AN_HOUR_MS} })`);
    // It goes at once, and takes the question whether the page may write along.
    await page.evaluate("bridge.log('first')");
    await page.waitForFunction("bridge.counts.sent === 1");
    await page.evaluate(`for (const message of ${JSON.stringify(messages)}) bridge.log(message)`);
    return page;
  }

  async function arrived(messages: string[]): Promise<boolean> {
    const there = new Set(await stored(url));
    return messages.every((message) => there.has(message));
  }

  test("a page of a listed origin writes, in many requests and of any text", async () => {
    const page = await logged([]);
    const answer = await page.evaluate(
      "bridge.stream(Array.from({ length: 1200 }, (_, index) => ({ message: 'stream ' + index, big: 2n ** 64n })))",
    );
    expect(answer).toMatchObject({ total_count: 1200, success_count: 1200, errors: [], stopped: "" });
    expect(await page.evaluate("bridge.health().then((health) => health.status)")).toBe("healthy");
    await page.close();
  });

  test("a page that is left delivers what waited", async () => {
    const messages = ["left 1", "left 2"];
    const page = await logged(messages);
    await page.goto("about:blank");
    await until(() => arrived(messages));
  });

  test("a page that is closed delivers what waited, up to what browsers allow", async () => {
    const messages = Array.from({ length: 9 }, (_, index) => `closed ${index} ${"x".repeat(5000)}`);
    const page = await logged(messages);
    await page.close({ runBeforeUnload: true });
    await until(() => arrived(messages));
  });

  test("a page that is hidden delivers all of it, and goes on", async () => {
    const messages = Array.from({ length: 30 }, (_, index) => `hidden ${index} ${"x".repeat(10_000)}`);
    const page = await logged(messages);
    await page.evaluate(`
      Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    `);
    await until(() => arrived(messages));
    await page.evaluate("bridge.log('seen again')");
    expect(await page.evaluate("bridge.flush()")).toBe(true);
    expect(await page.evaluate("bridge.counts")).toEqual({ queued: 0, sent: 32, refused: 0, dropped: 0 });
    await page.close();
  });

  test("the page of the documentation logs that it was opened, and its errors", async () => {
    pages.set("/docs", (blocksOf("html")[0] ?? "").replaceAll("http://127.0.0.1:8001", url));
    const page = await browser.newPage();
    await page.goto(`${origin}/docs`);
    await until(() => arrived(["page opened"]));
    await page.evaluate("setTimeout(() => { throw new Error('by the page'); })");
    await until(() => arrived(["Uncaught Error: by the page"]));
    await page.close();
  });
});
