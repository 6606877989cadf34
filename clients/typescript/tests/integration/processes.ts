/** Bridges and log services of a test: real processes on loopback, in a folder of their own. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { vi } from "vitest";
import { LogBridge, type Options } from "../../src/index.js";

export const ROOT = resolve(import.meta.dirname, "../../../..");
const PYTHON = process.env.LOGBRIDGE_PYTHON ?? join(ROOT, ".venv/bin/python");
const DEADLINE_MS = 60_000;

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** Processes and a folder; all of it goes with ``end``. */
export class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), "logbridge-client-"));
  readonly #children: Child[] = [];

  /** Start a logbridge process; gives it and what its output says where ``pattern`` fits. */
  async start(
    pattern: RegExp,
    args: string[],
    settings: Record<string, string> = {},
  ): Promise<[Child, string]> {
    const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("LOGBRIDGE_"));
    const child = spawn(PYTHON, ["-m", "logbridge", ...args], {
      cwd: this.folder,
      env: { ...Object.fromEntries(environment), XDG_STATE_HOME: this.folder, ...settings },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.push(child);
    return [child, await said(child, pattern)];
  }

  /** A log service that keeps its logs in the folder; gives its port. */
  async service(port = 0): Promise<number> {
    const args = ["service", "--grpc-server-port", String(port), "--store", "sqlite:///logs.db"];
    const [, listens] = await this.start(/log service listens on [^:]+:(\d+)/, args);
    return Number(listens);
  }

  /** A bridge to a log service at ``port``, or to memory. */
  async bridge(
    sink: number | "memory",
    settings: Record<string, string> = {},
    at = 0,
  ): Promise<[Child, string]> {
    const url = sink === "memory" ? "memory://" : `grpc://127.0.0.1:${sink}`;
    const args = [
      "serve",
      "--host",
      "127.0.0.1",
      "--port",
      String(at),
      "--sink",
      url,
      "--drain-notice-s",
      "0",
    ];
    return this.start(/listens at (http:\/\/[\d.:]+),/, args, settings);
  }

  /** Run a command of logbridge; gives its output. */
  async run(...args: string[]): Promise<string> {
    const [child, output] = await this.start(/^([\s\S]*)$/, args);
    return child.exitCode === 0 ? output : Promise.reject(new Error(output));
  }

  async end(): Promise<void> {
    await Promise.all(this.#children.map((child) => stop(child, "SIGKILL")));
    rmSync(this.folder, { recursive: true });
  }
}

/** End a process, at once or as it likes, and wait until it has ended. */
export async function stop(child: Child, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

/** What the first group of the pattern found; a pattern for the whole output waits for the end. */
async function said(child: Child, pattern: RegExp): Promise<string> {
  const whole = pattern.source.startsWith("^");
  let text = "";
  return new Promise((resolve, reject) => {
    const look = (piece: Buffer) => {
      text += piece.toString();
      const found = whole ? null : pattern.exec(text);
      if (found?.[1]) resolve(found[1]);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    child.on("close", () => (whole ? resolve(text) : reject(new Error(`ended: ${text}`))));
  });
}

/** A port on which nothing listens. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** Returns once it is true. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitUntil(isTrue, { timeout: DEADLINE_MS, interval: 20 });
}

/** The messages of all stored logs; none while the bridge is away. */
export async function stored(url: string, options: Options = {}): Promise<string[]> {
  const messages: string[] = [];
  try {
    for await (const page of new LogBridge(url, options).query({ limit: 1000 })) {
      messages.push(...page.logs.map((log) => log.message));
    }
  } catch {
    return [];
  }
  return messages;
}

/** What a Node program prints, and how it ends. It stands in the folder of the client, whose name it can import. */
export async function runNode(
  program: string,
  url: string,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: join(ROOT, "clients/typescript"),
    env: { ...process.env, LOGBRIDGE_URL: url },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = await said(child, /^([\s\S]*)$/);
  return { code: child.exitCode, output };
}
