/** Playing an address by the browser itself. */

/** Let `video` play `address`, with listeners by the names of their events. Returns what ends both. */
export function playSource(video, address, listeners) {
  const each = (act) => Object.entries(listeners).forEach(([name, listener]) => video[act](name, listener));
  each("addEventListener");
  video.src = address;
  return () => {
    each("removeEventListener");
    video.removeAttribute("src");
    video.load();
  };
}
