/*
 * Echo load: N connections, each with one message of SIZE bytes under way.
 *
 *   echo --addr 127.0.0.1:7000 --conns 50 --size 64 --seconds 2 --warmup 0.5 --server-pid 0
 *
 * Prints one line of JSON. Times are microseconds, CPU times seconds.
 */
#include <stdio.h>

#include "common.h"
#include "pingpong.h"

static struct pingpong_result result;

int main(int argc, char **argv) {
  static const char *const names[] = {"addr",   "conns",      "size", "seconds",
                                      "warmup", "server-pid", NULL};
  check_options(argc, argv, names);
  raise_fd_limit();
  struct pingpong_options options = {
      .address = parse_address(option_text(argc, argv, "addr", "127.0.0.1:7000")),
      .connections = (int)option_number(argc, argv, "conns", 50, 1, 100000),
      .size = (size_t)option_number(argc, argv, "size", 64, 1, 16 << 20),
      .seconds = option_seconds(argc, argv, "seconds", 2),
      .warmup = option_seconds(argc, argv, "warmup", 0.5),
      .server = (pid_t)option_number(argc, argv, "server-pid", 0, 0, 1 << 30),
  };
  pingpong_run(&options, &result);
  printf("{\"generator\":\"echo\",");
  pingpong_print(&options, &result, stdout);
  printf("}\n");
  return 0;
}
