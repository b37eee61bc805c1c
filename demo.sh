#!/usr/bin/env bash
# The main job on the trained demonstration model, on two cards: a picture, a question, an answer.
# The first run installs what is missing (packages.txt) and builds; later runs take seconds.
set -euo pipefail
cd "$(dirname "$0")"
preset=${DEMO_PRESET:-release}  # the tests show it with the build that they have
tools/install_packages build
[[ -x build/$preset/bin/cardloom ]] || echo "cardloom: building (a minute or two on two cores)" >&2
tools/build_preset "$preset" cardloom
question="What is in this picture?"
echo "\$ build/$preset/bin/cardloom run demo/glm-4v-nano \"$question\" -i demo/pictures/scene-1.jpg --tp 2"
exec build/$preset/bin/cardloom run demo/glm-4v-nano "$question" -i demo/pictures/scene-1.jpg --tp 2 < /dev/null
