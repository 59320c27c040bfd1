#!/bin/sh
# Only when the package goes away for good: an upgrade keeps nodes running until the new program is there.
set -e
case "$1" in
remove | purge | 0)
	if [ -d /run/systemd/system ]; then
		systemctl stop 'fujie@*.service' || true
	fi
	;;
esac
