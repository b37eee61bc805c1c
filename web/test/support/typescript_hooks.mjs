import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { transformWithOxc } from 'vite';

export async function load(url, context, next) {
  const file = new URL(url);
  file.search = ''; // a test may import a module anew under another query
  if (!/\.tsx?$/.test(file.pathname)) return next(url, context);
  const path = fileURLToPath(file);
  const jsx = { runtime: 'automatic', importSource: 'preact' };
  const { code } = await transformWithOxc(await readFile(path, 'utf8'), path, {
    jsx,
    sourcemap: false,
  });
  return { format: 'module', source: code, shortCircuit: true };
}
