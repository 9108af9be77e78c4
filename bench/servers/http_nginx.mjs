// HTTP on nginx with Lua (libnginx-mod-http-lua): one worker, answers made in Lua as handlers make them.
// It starts nginx, which cannot choose a port by itself, and says its process number beside the port.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { serverOptions } from "./options.mjs";

const { host } = serverOptions(process.argv.slice(2));
const folder = mkdtempSync(join(tmpdir(), "coronet-nginx-"));

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer().listen(0, host);
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function canConnect(port) {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

// No JSON library comes with the module: the values are found with patterns, which is less work than parsing.
const configuration = (port) => `
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off;
master_process off;
worker_processes 1;
pid ${folder}/pid;
error_log stderr crit;
events { worker_connections 16384; multi_accept on; }
http {
  access_log off;
  client_body_temp_path ${folder};
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  client_body_buffer_size 16k;
  keepalive_requests 1000000000;
  keepalive_timeout 60s;
  tcp_nodelay on;
  lua_package_path "/usr/share/lua/5.1/?.lua;;";
  init_by_lua_block {
    hello = "Hello, World!"
    large = string.rep("x", 1000000)
  }
  server {
    listen ${host}:${port} backlog=4096;
    server_tokens off;
    location / {
      content_by_lua_block {
        ngx.header["Content-Type"] = "text/plain;charset=UTF-8"
        ngx.header["Content-Length"] = #hello
        ngx.print(hello)
      }
    }
    location = /large {
      content_by_lua_block {
        ngx.header["Content-Type"] = "application/octet-stream"
        ngx.header["Content-Length"] = #large
        ngx.print(large)
      }
    }
    location = /json {
      content_by_lua_block {
        ngx.req.read_body()
        local body = ngx.req.get_body_data()
        local name = string.match(body, '"name":"([^"]*)"')
        local sum = 0
        for number in string.gmatch(string.match(body, "%[(.*)%]"), "%d+") do sum = sum + number end
        local text = '{"name":"' .. name .. '","sum":' .. sum .. '}'
        ngx.header["Content-Type"] = "application/json"
        ngx.header["Content-Length"] = #text
        ngx.print(text)
      }
    }
  }
}
`;

const port = await freePort();
const file = join(folder, "nginx.conf");
writeFileSync(file, configuration(port));
// Whatever becomes of this process: nginx does not outlive it.
const nginx = spawn("setpriv", ["--pdeathsig", "TERM", "nginx", "-c", file, "-p", folder], {
  stdio: ["ignore", "ignore", "inherit"],
});
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => nginx.kill("SIGTERM"));
nginx.once("error", (error) => console.error(error.message));
nginx.once("close", (code) => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(code ?? 0);
});
while (!(await canConnect(port))) await delay(20);
console.log(`listening ${port} ${nginx.pid}`);
