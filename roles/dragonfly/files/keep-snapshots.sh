#!/bin/sh
# Removes all but the newest complete snapshots: keep-snapshots.sh FOLDER NUMBER
# Their names have the time, and DragonflyDB writes the summary last.
set -eu
cd "$1"
for summary in dump-*-summary.dfs; do
    [ ! -e "$summary" ] || echo "${summary%-summary.dfs}"
done | sort -r | tail -n +"$(($2 + 1))" | while read -r name; do
    rm -f -- "$name"-*.dfs
done
