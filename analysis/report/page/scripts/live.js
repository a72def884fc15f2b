/* A live page asks the server that served it for newer results. */

import { replaceChunks } from "./chunks.js";
import { $ } from "./dom.js";

const EVERY = 2000; // milliseconds

/** Calls `adopt(version)` whenever there are newer chunks. */
export async function watch(adopt) {
  $("live").hidden = false;
  let version = null;
  for (;;) {
    try {
      const now = await (await fetch("version")).json();
      $("live-text").textContent = `Live: ${now.done} of ${now.total} replicas${now.note ? `. ${now.note}` : ""}`;
      $("live-bar").value = now.total ? now.done / now.total : 0;
      if (now.version && now.version !== version) {
        replaceChunks(await (await fetch("payload")).json());
        version = now.version;
        await adopt(version);
      }
    } catch {
      $("live-text").textContent = "Live: the server does not answer";
    }
    await new Promise((wake) => setTimeout(wake, EVERY));
  }
}
