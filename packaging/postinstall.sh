#!/bin/sh
# The account that nodes run as; it owns /var/lib/fujie and nothing else.
set -e
if ! getent passwd fujie >/dev/null; then
	adduser --system --group --home /var/lib/fujie --no-create-home --gecos "Fujie nodes" fujie 2>/dev/null ||
		useradd --system --user-group --home-dir /var/lib/fujie --no-create-home --shell /usr/sbin/nologin fujie
fi
chown fujie:fujie /var/lib/fujie
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	# After an upgrade running nodes go on with the new program; `fujie upgrade` says beforehand whether it reads their data.
	systemctl try-restart 'fujie@*.service' || true
fi
