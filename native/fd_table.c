/* fd_table.c - which fds this environment opened and has not closed yet. */
#include "coronet.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Marks an fd as ours. False when memory ran out: the caller closes the fd and reports ENOMEM. */
bool fd_table_mark(fd_table* table, int fd) {
  size_t index = (size_t)fd;
  if (index >= table->capacity) {
    size_t capacity = table->capacity == 0 ? 1024 : table->capacity;
    while (capacity <= index) capacity *= 2;
    uint8_t* bits = realloc(table->bits, capacity / 8);
    if (bits == NULL) return false;
    memset(bits + table->capacity / 8, 0, (capacity - table->capacity) / 8);
    table->bits = bits;
    table->capacity = capacity;
  }
  table->bits[index / 8] |= (uint8_t)(1U << (index % 8));
  return true;
}

bool fd_table_has(const fd_table* table, int fd) {
  size_t index = (size_t)fd;
  if (fd < 0 || index >= table->capacity) return false;
  return (table->bits[index / 8] & (1U << (index % 8))) != 0;
}

void fd_table_clear(fd_table* table, int fd) {
  size_t index = (size_t)fd;
  if (fd < 0 || index >= table->capacity) return;
  table->bits[index / 8] &= (uint8_t)~(1U << (index % 8));
}

void fd_table_close_all(fd_table* table) {
  for (size_t byte = 0; byte < table->capacity / 8; byte++) {
    if (table->bits[byte] == 0) continue;
    for (unsigned bit = 0; bit < 8; bit++) {
      if (table->bits[byte] & (1U << bit)) close((int)(byte * 8 + bit));
    }
  }
  free(table->bits);
  table->bits = NULL;
  table->capacity = 0;
}
