/**
 * Repeats a call at a steady pace: never two at once, none while the tab is hidden or while nobody wants it, and
 * slower and slower while it fails.
 */

const LONGEST_MS = 15000;

export class Poller {
  /**
   * `poll()` is awaited; if it throws, the next try waits 1, 2, 4, 8, then 15 s. `wanted()` says whether to poll at
   * all. `onWait(ms)` hears how long a failing poller waits until it tries again.
   */
  constructor({ periodMs, poll, wanted = () => true, onWait = () => {} }) {
    this.periodMs = periodMs;
    this.poll = poll;
    this.wanted = wanted;
    this.onWait = onWait;
    this.failures = 0;
    this.busy = false;
    this.again = false;
    this.timer = 0;
  }

  /** Begin, and from then on follow the tab's visibility. */
  start() {
    document.addEventListener("visibilitychange", () => this.wake());
    this.wake();
  }

  /** Poll now instead of at the next turn; if a poll is under way, once more right after it. */
  wake() {
    clearTimeout(this.timer);
    this.again = this.busy;
    if (!this.busy) this.turn();
  }

  async turn() {
    if (document.hidden || !this.wanted()) return; // wake() comes when that changes
    this.busy = true;
    const beganAt = performance.now();
    try {
      await this.poll();
      this.failures = 0;
    } catch {
      this.failures += 1; // poll() has already told the user
    }
    this.busy = false;
    let waitMs = Math.max(this.periodMs / 5, this.periodMs - (performance.now() - beganAt));
    if (this.failures) waitMs = Math.min(1000 * 2 ** (this.failures - 1), LONGEST_MS);
    if (this.again) waitMs = 0;
    this.again = false;
    if (this.failures) this.onWait(waitMs);
    this.timer = setTimeout(() => this.turn(), waitMs);
  }
}
