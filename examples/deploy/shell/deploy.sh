#!/bin/sh
# Deploys a directory on this machine: deploy.sh /home/app/build
# This script makes the switch, and goes back when `hotreload reload` says that the new release does not serve. The exit code is that of
# hotreload, or of the command that failed before.
set -eu
app=/srv/app
build=${1:?which directory is to be deployed?}
revision=$(git -C "$build" rev-parse HEAD)
release=releases/$(date -u +%Y%m%d%H%M%S)
cd "$app"

# One deploy at a time. While this file is there, hotreload leaves the switch to the reload below.
if ! (set -C && echo "$(id -un), pid $$, since $(date -u +%FT%TZ)" >deploy.lock); then
    echo "deploy.sh: $app is locked by $(cat deploy.lock)" >&2
    exit 1
fi
before=
finish() {
    code=$?
    trap - EXIT HUP INT TERM
    if [ "$code" -ne 0 ] && [ -n "$before" ]; then
        switch "$before"
        hotreload -c "$app/hotreload.toml" reload || true # the server may serve the new release by now
    fi
    rm -f deploy.lock
    exit "$code"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# A rename: at no moment is there no current.
switch() {
    ln -sfn "$1" .current.new
    mv -T .current.new current
}

mkdir "$release"
rsync -a --exclude=/.git --exclude=/.env --exclude=/runtime --exclude=/REVISION "$build/" "$release/"
mkdir -p "$release/runtime" shared/runtime/logs
ln -s ../../shared/.env "$release/.env"
ln -s ../../../shared/runtime/logs "$release/runtime/logs"
echo "$revision" >"$release/REVISION" # last: without it a release is not complete

before=$(readlink current || true)
switch "$release"
hotreload -c "$app/hotreload.toml" reload
