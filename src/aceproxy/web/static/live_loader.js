/**
 * How mpegts.js gets its bytes. The answer's own headers say whether it is a broadcast: of a recording, which the server
 * gives by ranges, mpegts.js gets no byte, however much it looks like a broadcast to it.
 */

/** A loader for mpegts.js; `recording()` is called in place of all else where the address is a file. */
export const liveLoader = (mpegts, recording) => {
  const { LoaderStatus, LoaderErrors } = mpegts;
  return class extends mpegts.BaseLoader {
    constructor() {
      super("live-loader");
      this._needStash = true;
      this.giveUp = new AbortController();
    }

    async open(source, range) {
      const { signal } = this.giveUp;
      this._status = LoaderStatus.kConnecting;
      try {
        const answer = await fetch(source.url, { signal });
        if (!answer.ok) {
          this.tell(LoaderErrors.HTTP_STATUS_CODE_INVALID, answer.status, answer.statusText);
        } else if (answer.headers.get("Accept-Ranges") === "bytes") {
          this.abort();
          recording();
        } else {
          await this.pass(answer.body.getReader(), range.from);
        }
      } catch (error) {
        if (!signal.aborted) this.tell(LoaderErrors.EXCEPTION, -1, error.message);
      }
    }

    abort() {
      this._status = LoaderStatus.kComplete;
      this.giveUp.abort();
    }

    destroy() {
      this.abort();
      super.destroy();
    }

    /** Hand on what comes until the end. */
    async pass(reader, from) {
      const { signal } = this.giveUp;
      let received = 0;
      for (;;) {
        const { done, value } = await reader.read();
        if (signal.aborted) return;
        if (done) break;
        this._status = LoaderStatus.kBuffering;
        const start = from + received;
        received += value.byteLength;
        this._onDataArrival?.(value.buffer, start, received);
      }
      this._status = LoaderStatus.kComplete;
      this._onComplete?.(from, from + received - 1);
    }

    tell(fault, code, msg) {
      this._status = LoaderStatus.kError;
      this._onError?.(fault, { code, msg });
    }
  };
};
