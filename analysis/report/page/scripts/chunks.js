/* Chunks: compressed JSON inside the page, unpacked when first asked for. */

const packed = new Map();
const unpacked = new Map();

export async function inflate(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i); // Uint8Array.from takes ten times as long
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

export function chunk(name) {
  if (!unpacked.has(name)) {
    const text = packed.get(name) ?? document.querySelector(`script[data-chunk="${CSS.escape(name)}"]`)?.textContent;
    unpacked.set(name, text ? inflate(text).then(JSON.parse) : Promise.resolve(null));
  }
  return unpacked.get(name);
}

/** Newer chunks in place of all that the page has. */
export function replaceChunks(newer) {
  unpacked.clear();
  for (const [name, text] of Object.entries(newer)) packed.set(name, text);
}
