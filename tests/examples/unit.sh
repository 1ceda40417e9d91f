#!/bin/sh
# unit.sh DIR: c-examples/dtm.service is a unit that systemd understands.
. "$(dirname "$0")/common.sh"

command -v systemd-analyze >/dev/null || {
    echo 'skipped: systemd-analyze is missing'
    exit 77
}
unit=$(dirname "$0")/../../c-examples/dtm.service
version=$(systemd-analyze --version | awk 'NR == 1 { print $2 }')
# The program need not be installed; older systemds know no notify-reload.
sed "s|^ExecStart=/usr/local/bin/echo|ExecStart=$bin/echo|" "$unit" >"$dir/dtm-echo.service"
[ "$version" -ge 253 ] || sed -i 's/^Type=notify-reload/Type=notify/' "$dir/dtm-echo.service"
said=$(systemd-analyze --man=no verify "$dir/dtm-echo.service" 2>&1) || fail "$said"
[ -z "$said" ] || fail "$said"
for key in Type=notify-reload KillMode=mixed NotifyAccess=all; do
    grep -q "^$key$" "$unit" || fail "$key is missing"
done
echo "unit: verified by systemd $version"
