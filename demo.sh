#!/usr/bin/env bash
# The main job on the trained demonstration model, on two cards: a picture, a question, an answer.
# The first run installs what is missing (packages.txt) and builds; later runs take seconds.
set -euo pipefail
cd "$(dirname "$0")"
tools/install_packages build
[[ -x build/release/bin/cardloom ]] || echo "cardloom: building (a minute or two on two cores)" >&2
tools/build_preset release cardloom
question="What is in this picture?"
echo "\$ build/release/bin/cardloom run demo/glm-4v-nano \"$question\" -i demo/pictures/scene-1.jpg --tp 2"
exec build/release/bin/cardloom run demo/glm-4v-nano "$question" -i demo/pictures/scene-1.jpg --tp 2 < /dev/null
