// Steps of a small model on some cards, as v1/cards/events tells them: the order of operators of a
// decoder layer, durations that vary a little, and cards that wait for the slower one.

const layerOps = [
  ['rms_norm', 'input_norm', 18],
  ['matmul', 'attention.qkv', 260],
  ['rotary_embedding', 'attention', 16],
  ['kv_append', 'attention', 12],
  ['paged_attention', 'attention', 190],
  ['matmul_all_reduce', 'attention.o', 240],
  ['rms_norm', 'post_norm', 18],
  ['matmul', 'mlp.gate_up', 620],
  ['silu_and_mul', 'mlp', 44],
  ['matmul_all_reduce', 'mlp.down', 420],
];
const visionOps = [
  ['layer_norm', 'input_norm', 40],
  ['matmul', 'attention.qkv', 900],
  ['attention', 'attention', 1400],
  ['matmul_all_reduce', 'attention.o', 700],
  ['matmul', 'mlp.fc1', 1500],
  ['gelu', 'mlp', 160],
  ['matmul_all_reduce', 'mlp.fc2', 1300],
];
const numLayers = 12;

let seed = 7;
function noise() {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
}

/// Step `step`, beginning at `begin` microseconds; every 40th encodes a picture.
export function fakeStep(step, begin, tp) {
  const vision = step % 40 < 3 && step > 5;
  const ops = [];
  const layers = [];
  const id = (list, name) => (list.includes(name) ? list.indexOf(name) : list.push(name) - 1);
  const spans = [];
  const at = Array.from({ length: tp }, () => 0);
  const run = (name, layer, microseconds) => {
    const durations = at.map((_, rank) => microseconds * (0.85 + 0.3 * noise() + 0.06 * rank));
    const meet = /all_/.test(name)
      ? Math.max(...at.map((time, rank) => time + durations[rank]))
      : null;
    at.forEach((time, rank) => {
      const own = durations[rank];
      const wait = meet === null ? 0 : meet - time - own;
      spans.push([
        rank,
        id(ops, name),
        id(layers, layer),
        Math.round(time),
        Math.round(own + wait),
        Math.round(wait),
      ]);
      at[rank] = time + own + wait + 2;
    });
  };
  if (vision) run('conv2d', 'vision.patch_embed', 1800);
  else run('embedding_lookup', 'text.embedding', 14);
  for (let i = 0; i < numLayers; ++i) {
    const [list, scope] = vision ? [visionOps, 'vision'] : [layerOps, 'text'];
    for (const [name, layer, microseconds] of list)
      run(name, `${scope}.layers.${i}.${layer}`, microseconds);
  }
  if (!vision) {
    run('matmul', 'text.lm_head', 900);
    run('all_gather', 'text.lm_head', 60);
    run('top_k', 'sampling', 80);
  }
  const rows = vision ? 1600 : 3;
  const end = begin + Math.ceil(Math.max(...at));
  return {
    step,
    rows,
    sequences: vision ? 1 : 3,
    pictures: vision ? 1 : 0,
    begin_us: begin,
    end_us: end,
    ops,
    layers,
    spans,
  };
}
