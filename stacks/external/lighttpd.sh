#!/bin/bash
# lighttpd as a stock stack: `command = stacks/external/lighttpd.sh` (lighttpd.exp). Each line's reason:
# nginx/BASELINE.md.
set -eu
conf=$DCN_WORK/lighttpd.conf
{
	echo "server.document-root = \"$DCN_ROOT\""
	echo "server.bind = \"$DCN_IP\""
	echo "server.port = $DCN_PORT"
	echo "server.errorlog = \"$DCN_WORK/lighttpd.err\""
	echo "server.upload-dirs = ( \"$DCN_WORK\" )"
	echo "server.event-handler = \"linux-sysepoll\""
	echo "server.network-backend = \"sendfile\""
	echo "server.max-worker = $((6 * DCN_WORKERS))"
	echo "server.max-fds = $(ulimit -H -n)"
	echo "server.max-connections = $((DCN_CONNECTIONS + 64))"
	echo "server.listen-backlog = 65535"
	echo "server.max-keep-alive-requests = 65535"
	echo "server.max-keep-alive-idle = 3600"
	echo "server.max-read-idle = 3600"
	echo "server.max-write-idle = 3600"
	echo "server.stat-cache-engine = \"simple\""
	echo "server.tag = \"lighttpd\""
	if [ "$DCN_SCHEME" = https ]; then
		echo 'server.modules = ( "mod_openssl" )'
		echo 'ssl.engine = "enable"'
		echo "ssl.pemfile = \"$DCN_CERT\""
		echo "ssl.privkey = \"$DCN_KEY\""
		echo 'ssl.openssl.ssl-conf-cmd = ( "MinProtocol" => "TLSv1.3", "Ciphersuites" => "TLS_AES_128_GCM_SHA256" )'
	fi
} >"$conf"
exec lighttpd -D -f "$conf"
