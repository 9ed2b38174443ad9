# Envoyer: a hook before "Activate New Release", on every server, run as the user that `hotreload run` runs as.
#
# hotreload switches current, and goes back when the new release does not serve; then the hook fails, and Envoyer ends the deployment. What
# Envoyer itself does afterwards, to make current lead to where it leads already, is nothing to hotreload.
set -eu
app=$(dirname "$(dirname "{{release}}")")
echo "{{sha}}" >"{{release}}/REVISION"
hotreload -c "$app/hotreload.toml" release activate "{{release}}"
