#!/bin/sh
# h2o as a stock stack: `command = stacks/external/h2o.sh` (h2o.exp). Each line's reason: nginx/BASELINE.md.
set -eu
conf=$DCN_WORK/h2o.conf
{
	echo "user: root"
	echo "num-threads: $((6 * DCN_WORKERS))"
	echo "max-connections: $((DCN_CONNECTIONS + 64))"
	echo "http1-request-timeout: 3600"
	echo "http1-upgrade-to-http2: OFF"
	echo "file.index: []"
	echo "error-log: $DCN_WORK/h2o.err"
	echo "pid-file: $DCN_WORK/h2o.pid"
	echo "listen:"
	echo "  host: $DCN_IP"
	echo "  port: $DCN_PORT"
	if [ "$DCN_SCHEME" = https ]; then
		echo "  ssl:"
		echo "    certificate-file: $DCN_CERT"
		echo "    key-file: $DCN_KEY"
		echo "    minimum-version: TLSv1.3"
		echo "    neverbleed: OFF"
	fi
	echo "hosts:"
	echo "  default:"
	echo "    paths:"
	echo "      /:"
	echo "        file.dir: $DCN_ROOT"
} >"$conf"
exec h2o -m worker -c "$conf"
