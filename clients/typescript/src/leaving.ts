/** The end of a Node program, and of a page: who still has entries then is told. */

/** Somebody who has entries that are not settled. */
export interface Holder {
  /** The Node program has nothing else to do: what it starts now keeps the process alive. */
  programEnds(): void;
  /** The page is hidden, or closing: what is to be sent has to start now, without waiting for anything. */
  pageHides(closing: boolean): void;
}

interface NodeProcess {
  on?(event: "beforeExit", listener: () => void): unknown;
  versions?: { node?: string };
}

const holders = new Set<Holder>();
let listening = false;

export const inPage = typeof document !== "undefined";
export const node = (globalThis as { process?: NodeProcess }).process;

/** Tell the holder of the end, until ``release``. */
export function hold(holder: Holder): void {
  holders.add(holder);
  if (!listening) listen();
  listening = true;
}

/** The holder has nothing left. */
export function release(holder: Holder): void {
  holders.delete(holder);
}

function listen(): void {
  node?.on?.("beforeExit", () => {
    for (const holder of holders) holder.programEnds();
  });
  if (!inPage) return;
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") hide(false);
  });
  addEventListener("pagehide", () => hide(true));
}

function hide(closing: boolean): void {
  for (const holder of holders) holder.pageHides(closing);
}
