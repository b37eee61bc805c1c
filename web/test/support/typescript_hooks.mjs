import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { transformWithOxc } from 'vite';

export async function load(url, context, next) {
  if (!/\.tsx?$/.test(url)) return next(url, context);
  const path = fileURLToPath(url);
  const jsx = { runtime: 'automatic', importSource: 'preact' };
  const { code } = await transformWithOxc(await readFile(path, 'utf8'), path, {
    jsx,
    sourcemap: false,
  });
  return { format: 'module', source: code, shortCircuit: true };
}
