/** The libraries of other people, loaded when they are needed. Their versions stand in vendor/README.md. */

const FILES = {
  mpegts: "vendor/mpegts-1.8.2.min.js",
  uPlot: "vendor/uplot-1.6.32.iife.min.js",
};
const HLS = "./vendor/hls-1.7.4.light.min.mjs";
const loading = new Map();

function loadScript(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(FILES[name], import.meta.url);
    script.onload = () => resolve(window[name]);
    script.onerror = () => {
      loading.delete(name); // the next one who asks tries again
      script.remove();
      reject(new Error(name));
    };
    document.head.append(script);
  });
}

/** Load `mpegts` or `uPlot`; resolves to what the library exports. Rejects if the file cannot be had. */
export function library(name) {
  if (!loading.has(name)) loading.set(name, loadScript(name));
  return loading.get(name);
}

/** Load hls.js; resolves to its class. */
export async function hlsLibrary() {
  return (await import(HLS)).default;
}
