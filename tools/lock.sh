#!/bin/sh
# Writes the lock files anew: every version pinned, every file by its hash. torch stays out: it is a step of its own.
set -eu
compile="${UV:-.venv/bin/uv} pip compile --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --quiet -c requirements/bounds.in $*"
$compile pyproject.toml -o requirements/base.txt
$compile pyproject.toml --extra local requirements/build.in -c requirements/base.txt -o requirements/local.txt
$compile pyproject.toml --extra local requirements/dev.in -c requirements/local.txt -o requirements/dev.txt
$compile pyproject.toml --extra local --extra train requirements/build.in -c requirements/local.txt --override requirements/without-torch.txt -o requirements/train.txt
