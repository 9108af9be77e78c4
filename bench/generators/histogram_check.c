/*
 * Reads one number of nanoseconds per line from stdin and prints the histogram's
 * summary; the test compares it with percentiles computed from the sorted values.
 */
#include <inttypes.h>

#include "histogram.h"

static struct histogram histogram;

int main(void) {
  uint64_t value;
  while (scanf("%" SCNu64, &value) == 1) histogram_add(&histogram, value);
  histogram_print(&histogram, stdout);
  fputc('\n', stdout);
  return 0;
}
