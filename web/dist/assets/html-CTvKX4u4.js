import{codeToHtml as e}from"./highlight-BTwGFich.js";import{texToMathml as t}from"./katex-CniNIxGK.js";import{a as n,i as r,n as i,o as a,r as o,s,t as c}from"./index-QDNKhQbF.js";var l=`:root {
  color-scheme: light dark;
  --ink: light-dark(#14201f, #e6edeb);
  --quiet: light-dark(#53605e, #9daba8);
  --line: light-dark(#dfe6e4, #273133);
  --soft: light-dark(#eff3f2, #0d1314);
  --bubble: light-dark(#e8f1f2, #1b2c31);
  --accent: light-dark(#0e6377, #74c8d8);
}
* {
  box-sizing: border-box;
}
body {
  margin: 0;
  background: light-dark(#fbfcfc, #12181a);
  color: var(--ink);
  font:
    16px/1.6 -apple-system,
    BlinkMacSystemFont,
    'Segoe UI',
    Roboto,
    'Noto Sans',
    'PingFang SC',
    'Microsoft YaHei',
    'Noto Sans CJK SC',
    system-ui,
    sans-serif;
}
main,
footer {
  max-width: 768px;
  margin: 0 auto;
  padding: 40px 24px;
}
h1 {
  margin: 0 0 32px;
  font-size: 28px;
  line-height: 1.25;
  overflow-wrap: anywhere;
}
article {
  margin: 0 0 28px;
  overflow-wrap: anywhere;
}
article > .who {
  margin: 0 0 6px;
  font-size: 13px;
  font-weight: 600;
  color: var(--quiet);
}
.question {
  padding: 14px 18px;
  border-radius: 16px;
  background: var(--bubble);
}
.text {
  margin: 0;
  white-space: pre-wrap;
}
.pictures {
  display: flex;
  flex-wrap: wrap;
  gap: 8px;
  margin: 0 0 10px;
}
.pictures img {
  max-width: 100%;
  max-height: 420px;
  width: auto;
  height: auto;
  border-radius: 10px;
}
.left-out {
  margin: 0;
  color: var(--quiet);
  font-style: italic;
}
a {
  color: var(--accent);
}
pre {
  padding: 14px 16px;
  border-radius: 12px;
  background: var(--soft);
  overflow-x: auto;
  line-height: 1.5;
}
code {
  font:
    0.88em ui-monospace,
    'SF Mono',
    'Cascadia Code',
    'DejaVu Sans Mono',
    monospace;
}
:not(pre) > code {
  padding: 1px 5px;
  border-radius: 5px;
  background: var(--soft);
}
blockquote {
  margin: 16px 0;
  padding: 2px 0 2px 16px;
  border-left: 3px solid var(--line);
  color: var(--quiet);
}
table {
  display: block;
  max-width: 100%;
  overflow-x: auto;
  border-collapse: collapse;
}
th,
td {
  padding: 6px 12px;
  border: 1px solid var(--line);
  text-align: start;
}
[align='right'] {
  text-align: right;
}
[align='center'] {
  text-align: center;
}
hr {
  border: 0;
  border-top: 1px solid var(--line);
}
details {
  margin: 0 0 28px;
  color: var(--quiet);
}
details .text {
  margin-top: 8px;
}
div.tex {
  overflow-x: auto;
}
footer {
  padding-top: 0;
  font-size: 13px;
  color: var(--quiet);
}
.hljs-keyword,
.hljs-literal,
.hljs-built_in,
.hljs-type {
  color: light-dark(#874b86, #d29ace);
}
.hljs-string,
.hljs-attr,
.hljs-meta {
  color: light-dark(#1d6d45, #7fd3a3);
}
.hljs-number,
.hljs-title,
.hljs-section {
  color: light-dark(#0e6377, #74c8d8);
}
.hljs-comment {
  color: var(--quiet);
  font-style: italic;
}
@media print {
  .question {
    border: 1px solid var(--line);
  }
}
`;function u(e,t,n){let r=s(o(e.title)),a=e.system.trim()===``?``:`<details><summary>${s(t.systemPrompt)}</summary><p class="text">${s(e.system.trim())}</p></details>\n`,c=e.messages.filter(e=>!i(e)).map(n=>d(n,e,t)).join(`
`);return`<!doctype html>
<html lang="${s(n)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>${r}</title>
<style>
${l}</style>
</head>
<body>
<main>
<h1>${r}</h1>
${a}${c}
</main>
<footer>${s(t.footer)}</footer>
</body>
</html>
`}function d(e,t,n){let r=e.role===`user`,i=e.pictures.map(e=>{let r=t.pictures[e.id],i=s(e.name);return!r||!/^data:image\/(?:png|jpeg|webp);base64,[A-Za-z0-9+/=]*$/.test(r)?`<p class="left-out">${s(n.leftOut(e.name))}</p>`:`<img src="${r}" alt="${i}" width="${Number(e.width)}" height="${Number(e.height)}">`}),a=i.length>0?`<div class="pictures">${i.join(``)}</div>`:``,o=r?e.text===``?``:`<p class="text">${s(e.text)}</p>`:f(e.json?c(e.text):e.text),l=s(r?n.you:n.model);return`<article class="${r?`question`:`answer`}"><h2 class="who">${l}</h2>${a}${o}</article>`}function f(i){let o=document.createElement(`div`);for(let e of new n().update(i)){let t=document.createElement(`div`);t.innerHTML=r(a(e)),o.append(...t.childNodes)}for(let e of o.querySelectorAll(`.tex`))e.innerHTML=t(e.dataset.tex??``,e.dataset.display===`1`),delete e.dataset.tex;for(let t of o.querySelectorAll(`pre code`)){let n=/language-([\w+#.-]+)/.exec(t.className)?.[1]??``,r=n===``?null:e(t.textContent??``,n);r!==null&&(t.innerHTML=r)}return o.innerHTML}export{u as toHtml};