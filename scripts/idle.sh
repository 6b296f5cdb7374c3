#!/usr/bin/env bash
# Run a command on what others leave of the processors.
set -euo pipefail
# Linux may share processors between sessions, and then `nice` counts within one only: proc(5), sched_autogroup.
# So the command gets a session of its own, whose share is the least.
if [ -w /proc/self/autogroup ] && command -v setsid >/dev/null; then
    exec setsid --wait bash -c 'echo 19 >/proc/self/autogroup || true; exec nice -n 19 "$@"' bash "$@"
fi
exec nice -n 19 "$@"
