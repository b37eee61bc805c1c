// What the fake server answers: chosen by words in the question, so that a test says what it wants.

const markdown = `## A lighthouse at dusk

The picture shows a **white lighthouse** on a rocky shore. What stands out:

1. The lamp is lit, although the sky is still bright.
2. Two boats lie in the bay; the left one carries the number \`K-104\`.
3. The sea is calm, so the reflection is almost complete.

| object | colour | place |
| --- | --- | ---: |
| lighthouse | white, red band | centre |
| boats | blue, green | lower left |
| rocks | dark grey | foreground |

From its height $h$ the distance to the horizon is about $d = \\sqrt{2 R h}$, hence

$$
d \\approx \\sqrt{2 \\cdot 6371\\,\\text{km} \\cdot 0.03\\,\\text{km}} \\approx 19.6\\,\\text{km}
$$

\`\`\`python
import math

def horizon(height_m: float) -> float:
    """Distance to the horizon in kilometres."""
    return math.sqrt(2 * 6371 * height_m / 1000)

print(f"{horizon(30):.1f} km")
\`\`\`

> The number on the second boat cannot be read at this size.
`;

const hostile = `Look at <b>this</b>: <img src=x onerror="window.pwned=1"> and <script>window.pwned=2</script>

<iframe src="https://example.com"></iframe>

<a href="javascript:window.pwned=3">a link</a> [another](javascript:window.pwned=4) [good](https://example.com/page)

![secret](https://example.com/steal?q=secret) <svg onload="window.pwned=5"></svg>

<div style="position:fixed;inset:0" class="scrim" id="app">over everything</div>

<form action="https://example.com"><input name=q></form>

A formula: $\\href{javascript:window.pwned=6}{x}$ done.
`;

/// The pieces of the answer, in order; '<error>' and '<cut>' end it in that way.
export function answers({ question, pictures, answered, continues }) {
  if (continues) return ['and', ' this', ' is', ' the', ' rest.'];
  if (/wrong JSON/.test(question)) return pieces('{"objects": [{"name": "boat", "count": 0}]}');
  if (/half of the JSON/.test(question)) return pieces('{"objects": [{"na');
  if (/as JSON/.test(question))
    return pieces('{"objects": [{"name": "boat", "count": 2}, {"name": "灯塔", "count": 1}]}');
  if (/how sure/.test(question))
    return 'The| light|house| is| white|,| with| a| red| band|,|\n|and| the| boats| are| blue|.'.split(
      '|',
    );
  if (/until the limit/.test(question)) return ['This', ' goes', ' on', ' '];
  if (/break in the middle/.test(question)) return ['It', ' begins', ' well', '<error>'];
  if (/cut the line/.test(question)) return ['It', ' begins', ' well', '<cut>'];
  if (/hostile/.test(question)) return pieces(hostile);
  if (/long story/.test(question)) return longStory();
  if (/lighthouse/.test(question)) return pieces(markdown);
  const seen = pictures > 0 ? ` I see ${pictures} picture(s).` : '';
  return pieces(`Answer ${answered}: you said “${question}”.${seen}`);
}

/// Without end, so that a test that stops it has its time; a closed connection ends it too.
function* longStory() {
  for (let i = 0; ; ++i) yield `${i > 0 && i % 20 === 0 ? '\n\n' : ''}word${i} `;
}

/// About four letters each, as tokens are.
function pieces(text) {
  return text.match(/[\s\S]{1,4}/gu) ?? [];
}
