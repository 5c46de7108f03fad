# shellcheck shell=bash
# The stage of scripts/demo: namespaces, a real Apache, xhttpd, and what looks at them. Sourced; it uses $backend.

tag=$(od -An -N3 -tx1 /dev/urandom | tr -d ' ')
server=xhttpd-demo-$tag-server client=xhttpd-demo-$tag-client
server_if=xs$tag client_if=xc$tag
dir=$(mktemp -d)
apache_pid='' xhttpd_pid='' local_port=''
behind=Apache dynamic=cgi-bin/who
files=(100B.png 1KB.png 10KB.png 1MB.png 20MB.png)
if [ -n "$backend" ]; then
	behind="the built-in server" dynamic='sub/?x'
fi

tear_down() {
	local pid
	for pid in $xhttpd_pid $apache_pid; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	ip netns del "$server" 2>/dev/null || true
	ip netns del "$client" 2>/dev/null || true
	rm -rf "$dir"
}

fail() {
	printf '\nFAILED: %s\n' "$*" >&2
	[ ! -s "$dir/xhttpd.log" ] || sed 's/^/xhttpd: /' "$dir/xhttpd.log" >&2
	exit 1
}

set_up() {
	chmod 755 "$dir"
	ip netns add "$server"
	ip netns add "$client"
	ip link add "$server_if" netns "$server" type veth peer name "$client_if" netns "$client"
	ip -n "$server" addr add 10.93.0.1/24 dev "$server_if"
	ip -n "$client" addr add 10.93.0.2/24 dev "$client_if"
	ip -n "$server" addr add fd93::1/64 dev "$server_if" nodad
	ip -n "$client" addr add fd93::2/64 dev "$client_if" nodad
	local ns
	for ns in "$server" "$client"; do ip -n "$ns" link set lo up; done
	ip -n "$server" link set "$server_if" up
	ip -n "$client" link set "$client_if" up

	mkdir "$dir/www" "$dir/www/sub"
	local f size
	for f in "${files[@]}"; do
		size=${f%.png} size=${size%B}
		head -c "$(numfmt --from=si "${size/K/k}" 2>/dev/null || numfmt --from=si "${size^^}")" /dev/urandom >"$dir/www/$f"
	done
	echo inside >"$dir/www/sub/index.html"
	# A file that has just changed is not taken: it may change again.
	find "$dir/www" -type f -exec touch -d '1 hour ago' {} +
	chmod -R a+rX "$dir/www"
	head -c 1000000 /dev/urandom >"$dir/post"
	[ -n "$backend" ] || start_apache
}

# Debian's own configuration, in a folder of ours: another document root, and a CGI script.
start_apache() {
	cp -a /etc/apache2 "$dir/conf"
	mkdir "$dir/run" "$dir/lock" "$dir/log" "$dir/cgi"
	sed -i "s#/etc/apache2#$dir/conf#g" "$dir/conf/apache2.conf"
	sed -i "s#/var/www/html#$dir/www#" "$dir/conf/sites-available/000-default.conf"
	ln -sf ../mods-available/cgid.load ../mods-available/cgid.conf "$dir/conf/mods-enabled/"
	cat >"$dir/conf/conf-enabled/serve-cgi-bin.conf" <<-END
		ServerName demo
		ScriptSock $dir/run/cgid.sock
		ScriptAlias /cgi-bin/ $dir/cgi/
		<Directory $dir/cgi>
			Require all granted
		</Directory>
		<Directory $dir/www>
			Options Indexes FollowSymLinks
			Require all granted
		</Directory>
	END
	cat >"$dir/cgi/who" <<-'END'
		#!/bin/sh
		printf 'Content-Type: text/plain\r\n\r\n'
		echo "client $REMOTE_ADDR port $REMOTE_PORT"
		echo "server $SERVER_SOFTWARE, process $PPID"
		[ "$REQUEST_METHOD" != POST ] || sha256sum
	END
	chmod 755 "$dir/cgi/who"
	APACHE_RUN_USER=www-data APACHE_RUN_GROUP=www-data APACHE_PID_FILE=$dir/run/pid APACHE_RUN_DIR=$dir/run \
		APACHE_LOCK_DIR=$dir/lock APACHE_LOG_DIR=$dir/log APACHE_CONFDIR=$dir/conf LANG=C \
		ip netns exec "$server" apache2 -d "$dir/conf" -f apache2.conf -DFOREGROUND &
	apache_pid=$!
	wait_for "Apache" curl_server -o /dev/null http://127.0.0.1/
}

start_xhttpd() {
	ip netns exec "$server" bin/xhttpd run --interface "$server_if" --root "$dir/www" \
		${backend:+--backend "$backend"} >"$dir/xhttpd.log" 2>&1 &
	xhttpd_pid=$!
	wait_for "xhttpd" curl_server -f -o /dev/null http://127.0.0.1:9180/healthz
}

wait_for() {
	local what=$1 n
	shift
	for n in $(seq 200); do
		if "$@"; then return; fi
		sleep 0.05
	done
	fail "$what does not answer after $((n / 20)) s"
}

curl_server() { ip netns exec "$server" curl -sg --noproxy '*' --max-time 5 "$@" 2>/dev/null; }
curl_client() { ip netns exec "$client" curl -sSg --noproxy '*' --max-time 60 "$@"; }

# total sums a counter over its labels.
total() {
	curl_server http://127.0.0.1:9180/metrics | awk -v name="xhttpd_$1" '{ split($1, n, "{") } n[1] == name { s += $2 } END { print s + 0 }'
}

count() {
	responses=$(total responses_total)
	handovers=$(total handovers_total)
}

# fetch URL WHO gets URL with curl and checks that WHO (xhttpd or behind) answered; "first" may be either.
fetch() {
	local r h now
	count
	r=$responses h=$handovers
	local_port=$(curl_client -o "$dir/got" -w '%{local_port} %{http_code} %{size_download}' "$1") || fail "curl $1"
	read -r local_port code size <<<"$local_port"
	[ "$code" = 200 ] || fail "$1 gives status $code"
	# The counters are published after the frames are sent.
	for _ in $(seq 40); do
		count
		[ "$((responses + handovers))" -gt "$((r + h))" ] && break
		sleep 0.05
	done
	now=nobody
	[ "$responses" -eq "$r" ] || now=xhttpd
	[ "$handovers" -eq "$h" ] || now=behind
	[ "$2" = first ] || [ "$2" = "$now" ] || fail "$1 was answered by $now"
	printf '  %-34s %9s bytes  answered by %s\n' "$1" "$size" "${now/behind/$behind}"
}

same() { cmp -s "$dir/got" "$dir/www/$1" || fail "/$1 differs from the file"; }

# wait_cached URL waits until xhttpd answers URL itself.
wait_cached() {
	local r
	for _ in $(seq 200); do
		r=$(total responses_total)
		curl_client -o /dev/null -I "$1"
		sleep 0.02
		[ "$(total responses_total)" -eq "$r" ] || return 0
		sleep 0.05
	done
	fail "xhttpd does not take $1"
}

# one_connection N ARGS… runs curl over N URLs, and checks that it made one connection for all of them.
one_connection() {
	local n=$1
	shift
	count
	responses_before=$responses handovers_before=$handovers
	curl_client -v "$@" >"$dir/out" 2>"$dir/trace" || fail "curl: $(tail -n 3 "$dir/trace")"
	grep -E 'Connected to|Re-using|^< HTTP' "$dir/trace" | sed 's/^/  curl -v: /'
	[ "$(grep -c 'Connected to' "$dir/trace")" = 1 ] || fail "curl needed more than one connection"
	[ "$(grep -c '^< HTTP/1.1 [24]0' "$dir/trace")" = "$n" ] || fail "not $n answers"
}

# answered R H checks that since one_connection began, xhttpd gave R answers and handed over H connections.
answered() {
	for _ in $(seq 40); do
		count
		[ "$((responses - responses_before)):$((handovers - handovers_before))" != "$1:$2" ] || break
		sleep 0.05
	done
	printf '  counters: xhttpd answered %d, handed over %d connection(s)\n' $((responses - responses_before)) $((handovers - handovers_before))
	[ "$((responses - responses_before)):$((handovers - handovers_before))" = "$1:$2" ] || fail "expected $1 and $2"
}

post() {
	local f=${files[0]} want
	one_connection 4 "http://$1/$f" -o /dev/null "http://$1/$f" -o /dev/null "http://$1/$f" -o /dev/null \
		--next -sSgv --noproxy '*' --max-time 60 -H 'Expect:' --data-binary "@$dir/post" "http://$1/$dynamic"
	answered 3 1
	want=$(sha256sum <"$dir/post")
	if [ -z "$backend" ]; then
		grep -qF "$want" "$dir/out" || fail "Apache received something else than was sent"
		echo "  sha256 of what Apache's script received: ${want%% *}, the same as of what was sent"
	fi
}

load() {
	ip netns exec "$client" wrk -t1 -c64 -d"${seconds}s" "http://10.93.0.1/${files[1]}" >"$dir/wrk"
	if grep -q Non-2xx "$dir/wrk"; then fail "$(cat "$dir/wrk")"; fi
	sed -n 's/^Requests\/sec: *//p' "$dir/wrk"
}

leave_up() {
	cat <<-END
		It goes on running. Try:
		  ip netns exec $client curl -v http://10.93.0.1/${files[1]}
		  ip netns exec $server curl -s http://127.0.0.1:9180/metrics | grep ^xhttpd
		End it with:
		  kill $xhttpd_pid $apache_pid; ip netns del $server; ip netns del $client; rm -rf $dir
	END
	disown -a
}
