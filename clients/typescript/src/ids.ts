/** A new UUID of version 7 (RFC 9562): unique, and in the order of time. */
export function newId(nowMs: number = Date.now()): string {
  // Not crypto.randomUUID: pages over plain HTTP do not have it.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(nowMs / 65536));
  view.setUint16(4, nowMs % 65536);
  view.setUint8(6, 0x70 | (view.getUint8(6) & 0x0f));
  view.setUint8(8, 0x80 | (view.getUint8(8) & 0x3f));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
