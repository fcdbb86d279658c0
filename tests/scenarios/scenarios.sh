#!/usr/bin/env bash
# Runs a scenario for a fixed set of seeds, and once for each call that its first seeds make, which fails. With
# COVE_LONG_TESTS, where there are many seeds, for many more. Arguments: the program, the scenario, how many seeds.

set -euo pipefail
program=$1 scenario=$2 seeds=$3
sweeps=3
if [ -n "${COVE_LONG_TESTS:-}" ] && [ "$seeds" -ge 1000 ]; then
    seeds=100000
    sweeps=50
fi
"$program" "$scenario" --seeds "1..$seeds"
for seed in $(seq "$sweeps"); do "$program" "$scenario" --every-call --seed "$seed"; done
