/* Who draws what when something changes: modules tell, main.js says who listens. */

const listeners = {};

export function on(what, ...callbacks) {
  (listeners[what] ??= []).push(...callbacks);
}

export function tell(what) {
  for (const callback of listeners[what] ?? []) callback();
}
