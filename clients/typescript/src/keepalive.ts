/** What a page may send while it goes away. */

/**
 * Browsers let at most 64 KiB of bodies be under way with keepalive, of the whole page (WHATWG Fetch, section
 * 4.6, "HTTP-network-or-cache fetch"); some count headers, too.
 */
export const KEEPALIVE_BYTES_MAX = 60_000;

const encoder = new TextEncoder();
let bytesUnderWay = 0;

/** How many bytes may still begin. */
export function keepaliveRoom(): number {
  return KEEPALIVE_BYTES_MAX - bytesUnderWay;
}

/** Begin a request, with keepalive if its body fits into the room; it takes its room until it has ended. */
export async function outliving<T>(body: string, request: (keepalive: boolean) => Promise<T>): Promise<T> {
  const bytes = encoder.encode(body).length;
  if (bytes > keepaliveRoom()) return request(false);
  bytesUnderWay += bytes;
  try {
    return await request(true);
  } finally {
    bytesUnderWay -= bytes;
  }
}
