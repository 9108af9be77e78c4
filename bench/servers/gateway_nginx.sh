#!/bin/sh
# A reverse proxy on nginx: one process, connections to the upstream kept. Takes --host, --port and
# --upstream as the other servers do; nginx cannot choose a port, so port 0 is one of many by chance.
while [ $# -gt 1 ]; do
  case "$1" in
    --host) host=$2 ;;
    --port) port=$2 ;;
    --upstream) upstream=$2 ;;
  esac
  shift 2
done
[ "$port" = 0 ] && port=$((20000 + $$ % 12000))
dir=$(mktemp -d)
cat >"$dir/nginx.conf" <<CONF
daemon off;
master_process off;
pid $dir/pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path $dir/body;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
  upstream app { server $upstream; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen $host:$port backlog=4096;
    keepalive_requests 1000000000;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For \$remote_addr;
    }
  }
}
CONF
(sleep 0.5; rm -rf "$dir/nginx.conf"; echo "listening $port") &
exec nginx -p "$dir" -c "$dir/nginx.conf"
