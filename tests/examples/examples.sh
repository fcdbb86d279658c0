#!/usr/bin/env bash
# Runs the examples as a person would, with nc. Argument: the folder they were built in.

set -euo pipefail
examples=$1
folder=$(mktemp -d)
servers=()
cleanup() {
    for server in "${servers[@]}"; do kill -KILL "$server" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap cleanup EXIT
fail() {
    echo "examples: $*"
    exit 1
}

# Starts a server on a port of the kernel's choice and waits for the line that names it; more can be read from $output.
serve() {
    mkfifo "$folder/$1.out"
    "$examples/$1" 127.0.0.1:0 "${@:2}" >"$folder/$1.out" &
    server=$!
    servers+=("$server")
    exec {output}<"$folder/$1.out"
    read -r -t 20 line <&"$output"
    port=${line##*:}
}
stop_in_order() {
    kill -INT "$server"
    wait "$server" || fail "$1 did not end in order, but with $?"
}

serve echo_server
[ "$(printf 'hi\n' | timeout 20 nc -N 127.0.0.1 "$port")" = hi ] || fail "echo"
head -c 3000000 /dev/urandom >"$folder/sent"
timeout 60 nc -N 127.0.0.1 "$port" <"$folder/sent" >"$folder/echoed"
cmp "$folder/sent" "$folder/echoed" || fail "echo of three megabytes"
for i in $(seq 50); do printf 'client %d\n' "$i" | timeout 60 nc -N 127.0.0.1 "$port" >"$folder/client$i" & clients[i]=$!; done
for i in $(seq 50); do wait "${clients[i]}"; grep -qx "client $i" "$folder/client$i" || fail "echo of client $i"; done
"$examples/port_probe" 127.0.0.1 "$port" "$port" | grep -q "127.0.0.1:$port is open" || fail "port_probe"

echo_server=$server echo_port=$port
serve proxy "127.0.0.1:$echo_port"
proxy_says() { read -r -t 20 said <&"$output" && [[ $said == *": $1" ]] || fail "proxy: said '$said', not '$1'"; }
[ "$(printf 'hi\n' | timeout 20 nc -N 127.0.0.1 "$port")" = hi ] || fail "echo through the proxy"
proxy_says "3 bytes to, 3 bytes fro, finished"
timeout 60 nc -N 127.0.0.1 "$port" <"$folder/sent" >"$folder/proxied"
cmp "$folder/sent" "$folder/proxied" || fail "three megabytes through the proxy"
proxy_says "3000000 bytes to, 3000000 bytes fro, finished"
for i in $(seq 50); do printf 'client %d\n' "$i" | timeout 60 nc -N 127.0.0.1 "$port" >"$folder/client$i" & clients[i]=$!; done
for i in $(seq 50); do wait "${clients[i]}"; grep -qx "client $i" "$folder/client$i" || fail "proxied echo of client $i"; done
for i in $(seq 50); do read -r -t 20 said <&"$output" || fail "proxy: said nothing of client $i"; done
proxy=$server server=$echo_server
stop_in_order echo_server
timeout 20 nc -N 127.0.0.1 "$port" </dev/null >/dev/null 2>&1 || true
proxy_says "0 bytes to, 0 bytes fro, connect 127.0.0.1:$echo_port: Connection refused"
server=$proxy
stop_in_order proxy
port=$echo_port
("$examples/port_probe" 127.0.0.1 "$port" "$port" || true) | grep -qx "0 open" || fail "port_probe of a closed port"
("$examples/echo_server" 127.0.0.1:99999 2>&1 || true) | grep -q "the port is above 65535" || fail "a wrong address"

serve sharded_echo
for i in $(seq 50); do printf 'client %d\n' "$i" | timeout 60 nc -N 127.0.0.1 "$port" >"$folder/client$i" & clients[i]=$!; done
for i in $(seq 50); do wait "${clients[i]}"; grep -qx "client $i" "$folder/client$i" || fail "sharded echo of client $i"; done
stop_in_order sharded_echo

serve chat_server
coproc listener { exec timeout 60 nc 127.0.0.1 "$port"; }
hear() { read -r -t 20 heard <&"${listener[0]}" && [ "$heard" = "$1" ] || fail "chat: heard '$heard', not '$1'"; }
hear "* welcome, guest1: /nick NAME, /who, /quit"
printf 'hello\n/nick bob\n/quit\n' | timeout 20 "$examples/chat_client" "127.0.0.1:$port" >"$folder/client"
hear "* guest2 joined"
hear "guest2: hello"
hear "* guest2 is now bob"
hear "* bob left"
grep -qx '\* bye' "$folder/client" || fail "chat_client did not hear the answer to /quit"
printf '/who\n' >&"${listener[1]}"
hear "* here: guest1"
head -c 5000 /dev/zero | tr '\0' a | timeout 20 nc 127.0.0.1 "$port" | grep -q '^\* the line is too long' || fail "chat: overlong line"
hear "* guest3 joined"
hear "* guest3 left"
kill -INT "$server"
hear "* the server is shutting down"
wait "$server" || fail "chat_server did not end in order"
echo "examples: all behave"
