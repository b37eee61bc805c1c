import { defineConfig, type Plugin } from 'vite';

/// KaTeX offers each font as woff2, woff and ttf; every browser that can run this page reads
/// woff2, so the other forty files would only make the server's binary larger.
function woff2Only(): Plugin {
  return {
    name: 'woff2-only',
    enforce: 'pre',
    transform(code, id) {
      if (!/katex[^/]*\.css/.test(id)) return null;
      return code.replace(/,\s*url\([^)]+\.(?:woff|ttf)\)\s*format\([^)]+\)/g, '');
    },
  };
}

export default defineConfig({
  base: './', // the page may sit behind a path prefix
  plugins: [woff2Only()],
  build: {
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox121', 'safari17.5'], // the first with light-dark()
    assetsInlineLimit: 0, // the content security policy forbids data: fonts
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 600,
  },
  server: {
    // `npm run dev` beside a running `cardloom serve`.
    proxy: Object.fromEntries(
      ['/v1', '/props', '/health', '/tokenize'].map((path) => [
        path,
        process.env['CARDLOOM_URL'] ?? 'http://127.0.0.1:8000',
      ]),
    ),
  },
});
