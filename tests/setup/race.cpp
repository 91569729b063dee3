// Two threads write a value each, then add up both: after a barrier, or, with
// an argument, in a race. ThreadSanitizer must tell one from the other
// (scripts/setup/sanitize.sh).
#include <omp.h>

int main(int argc, char**) {
  int values[2] = {0, 0};
  int sums[2] = {0, 0};
#pragma omp parallel num_threads(2)
  {
    const int thread = omp_get_thread_num();
    values[thread] = 1;
    if (argc == 1) {
#pragma omp barrier
    }
    sums[thread] = values[0] + values[1];
  }
  return argc == 1 && sums[0] + sums[1] != 4;
}
