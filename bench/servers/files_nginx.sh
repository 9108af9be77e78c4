#!/bin/bash
# Files on nginx: one process, sendfile on. It becomes nginx itself, so that its id is nginx's; whoever
# listens on port 0 has to be told a port, so one that is free is looked for.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
node --input-type=module -e "await import('$folder/files_root.mjs')"
root="$folder/../build/files"
port=$(node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
state="$folder/../build/nginx"
mkdir -p "$state"
cat > "$state/nginx.conf" <<CONF
daemon off;
master_process off;
pid $state/pid;
error_log stderr;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_body_temp_path $state/body;
  proxy_temp_path $state/proxy;
  fastcgi_temp_path $state/fastcgi;
  uwsgi_temp_path $state/uwsgi;
  scgi_temp_path $state/scgi;
  server { listen 127.0.0.1:$port backlog=4096; root $root; }
}
CONF
(
  until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.05; done
  echo "listening $port"
) &
exec nginx -c "$state/nginx.conf"
