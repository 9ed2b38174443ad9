# Envoyer: a hook after "Activate New Release", where Envoyer itself is to switch current; on every server, run as the user that
# `hotreload run` runs as. A failure ends the deployment, but current is switched by then: so it is switched back here.
set -eu
app=$(dirname "$(dirname "{{release}}")")
echo "{{sha}}" >"{{release}}/REVISION"
code=0
hotreload -c "$app/hotreload.toml" reload || code=$?
if [ "$code" -ne 0 ]; then
    served=$(hotreload -c "$app/hotreload.toml" status --json | php -r 'echo json_decode(stream_get_contents(STDIN))->release->path ?? "";')
    if [ -n "$served" ]; then
        ln -sfn "$served" "$app/.current.before"
        mv -T "$app/.current.before" "$app/current"
        hotreload -c "$app/hotreload.toml" reload || true # after exit code 4 the server may serve the new release by now
    fi
fi
exit "$code"
