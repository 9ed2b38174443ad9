#!/bin/sh
# Deploys a directory on this machine: activate.sh /home/app/build
# hotreload makes the switch, and goes back when the new release does not serve. The exit code is that of `hotreload release activate`.
set -eu
app=/srv/app
build=${1:?which directory is to be deployed?}
revision=$(git -C "$build" rev-parse HEAD)
release=$app/releases/$(date -u +%Y%m%d%H%M%S)

mkdir "$release"
rsync -a --exclude=/.git --exclude=/.env --exclude=/runtime --exclude=/REVISION "$build/" "$release/"
mkdir -p "$release/runtime" "$app/shared/runtime/logs"
ln -s ../../shared/.env "$release/.env"
ln -s ../../../shared/runtime/logs "$release/runtime/logs"
echo "$revision" >"$release/REVISION" # last: without it a release is not complete

exec hotreload -c "$app/hotreload.toml" release activate "$release"
