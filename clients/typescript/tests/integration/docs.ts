import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./processes.js";

export const PAGE = readFileSync(join(ROOT, "docs/typescript.md"), "utf8");

/** The examples of docs/typescript.md in one language. */
export function blocksOf(language: string): string[] {
  return Array.from(
    PAGE.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, "gm")),
    ([, code]) => code ?? "",
  );
}
