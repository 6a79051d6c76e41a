/* gpu.c: is there a GPU to test on? Prints which, or SKIP with the reason; the exit code says the same. */
#include "cuda/cuda.h"

int main(void) {
    Cuda *cuda = NULL;
    Fault f = {""};
    const Status status = cuda_open(&cuda, &f);
    if (status == STATUS_OK)
        printf("%s\n", cuda_name(cuda));
    else
        printf("SKIP the GPU's tests: %s\n", f.text);
    cuda_close(cuda);
    return status;
}
