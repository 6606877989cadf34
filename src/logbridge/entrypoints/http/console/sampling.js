// Of more logs than anybody can read some are shown, and it is told how many. Nothing here parses or draws.

export const ROWS_PER_S_MAX = 200;
export const ROWS_MAX = 1000;
// Of what waits to be shown, in characters: a log may have 256 KiB.
const WAITING_MAX = 4 * 1024 * 1024;

export class Sampler {
  constructor(now = 0) {
    this.waiting = [];
    this.size = 0;
    this.holding = false;
    this.tokens = ROWS_PER_S_MAX;
    this.at = now;
    // Since the beginning: came, shown, left out.
    this.came = 0;
    this.shown = 0;
    this.skipped = 0;
    this.look = { at: now, came: 0, shown: 0, skipped: 0 };
  }

  // A log that came. Beyond what is kept, the oldest one is left out: what is newest gets shown in the end.
  arrive(frame) {
    this.came += 1;
    this.waiting.push(frame);
    this.size += frame.length;
    const most = this.holding ? ROWS_MAX : ROWS_PER_S_MAX;
    let over = 0;
    while (this.waiting.length - over > 1 && (this.waiting.length - over > most || this.size > WAITING_MAX)) {
      this.size -= this.waiting[over].length;
      over += 1;
    }
    if (over) this.waiting.splice(0, over);
    this.skipped += over;
  }

  // While held, what comes waits: for pause, and for a page that nobody sees.
  hold() {
    this.holding = true;
  }

  // What waited is due at once.
  release() {
    this.holding = false;
    this.tokens = Math.max(this.tokens, this.waiting.length);
  }

  // What is to be shown now, oldest first.
  take(now) {
    if (this.holding) return [];
    this.tokens = Math.max(this.tokens, Math.min(ROWS_PER_S_MAX, this.tokens + ((now - this.at) / 1000) * ROWS_PER_S_MAX));
    this.at = now;
    const taken = this.waiting.splice(0, Math.min(this.waiting.length, Math.floor(this.tokens)));
    for (const frame of taken) this.size -= frame.length;
    this.tokens -= taken.length;
    this.shown += taken.length;
    return taken;
  }

  // Since the last look: logs a second, and one of how many is shown (1 where all are).
  rates(now) {
    const seconds = Math.max((now - this.look.at) / 1000, 0.001);
    const came = this.came - this.look.came;
    const shown = this.shown - this.look.shown;
    const skipped = this.skipped - this.look.skipped;
    this.look = { at: now, came: this.came, shown: this.shown, skipped: this.skipped };
    return { perSecond: came / seconds, oneOf: skipped ? Math.max(2, Math.round(came / Math.max(shown, 1))) : 1 };
  }

  forget() {
    this.waiting = [];
    this.size = 0;
  }
}

// The level of a log as JSON text, without parsing it: within a string its quotes would be escaped, and only the
// service stands before it.
export function levelOf(frame) {
  const at = frame.indexOf('"level":"');
  return at < 0 ? "" : frame.slice(at + 9, frame.indexOf('"', at + 9));
}
