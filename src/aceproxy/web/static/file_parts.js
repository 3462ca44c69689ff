/** Parts of a file by ranges (RFC 9110 §14), read as far as they are wanted. */

/** Why a part cannot be had: `kind` is "http" or "network", as for players; `code` the status. */
export class PartError extends Error {
  constructor(kind, code = 0) {
    super(`${kind} ${code}`);
    this.name = "PartError";
    this.kind = kind;
    this.code = code;
  }
}

/** A file behind an address. `size` is null until the first part has come. */
export class RemoteFile {
  constructor(address) {
    this.address = address;
    this.size = null;
  }

  /**
   * Read from `first` to before `stop`, or to the end, whichever is earlier; a negative `first` counts from the end.
   * `enough(bytes)`, where given, is asked now and then, and ends the reading with what it returns once that is not
   * null; else the bytes are returned, which hold what came. Throws PartError, and AbortError by `signal`.
   */
  async read(first, stop, { enough = null, signal = null } = {}) {
    const range = first < 0 ? `bytes=${first}` : `bytes=${first}-${stop - 1}`;
    let answer;
    try {
      answer = await fetch(this.address, { headers: { Range: range }, signal, cache: "no-store" });
    } catch (error) {
      throw error.name === "AbortError" ? error : new PartError("network");
    }
    if (answer.status !== 206) {
      await answer.body?.cancel();
      throw new PartError("http", answer.status);
    }
    this.size = Number(/\/(\d+)$/.exec(answer.headers.get("Content-Range"))?.[1] ?? 0) || this.size;
    return collect(answer.body.getReader(), Number(answer.headers.get("Content-Length")) || 0, enough);
  }
}

async function collect(reader, expected, enough) {
  let bytes = new Uint8Array(Math.max(expected, 1 << 16));
  let count = 0;
  let asked = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (count + value.length > bytes.length) {
        const larger = new Uint8Array(2 * (count + value.length));
        larger.set(bytes.subarray(0, count));
        bytes = larger;
      }
      bytes.set(value, count);
      count += value.length;
      if (!enough || count - asked < 1 << 15) continue;
      asked = count;
      const found = enough(bytes.subarray(0, count));
      if (found === null) continue;
      await reader.cancel();
      return found;
    }
  } catch (error) {
    throw error.name === "AbortError" ? error : new PartError("network");
  }
  const held = bytes.subarray(0, count);
  return enough?.(held) ?? held;
}
