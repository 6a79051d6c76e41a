/* hopper.cu: tensors as the copy engine sees them: the host's side of hopper.h.
 *
 *   enters   an array on the device, its dimensions, and the size of the boxes in which it is fetched
 *   leaves   a CUtensorMap, for a kernel that takes it as `const __grid_constant__`
 *   next     experts/10_tma_wgmma.cu
 *   not      work for the device: a map is written on the host, at once, also while a graph is captured
 *
 * The function that writes it is the driver's. It is asked for by name through the runtime, so that the program starts where there is no driver.
 */
#include "cuda/hopper.h"

typedef PFN_cuTensorMapEncodeTiled_v12000 WriteMap;

/* NULL, and noted, where the driver has none. Asked for once. */
static WriteMap find_writer(Cuda *cuda, const char *doing) {
    static void *function;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    if (function != NULL || cuda->failed) return reinterpret_cast<WriteMap>(function);
#if CUDART_VERSION >= 12050
    const cudaError_t asked = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
#else
    const cudaError_t asked = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
    if (!cuda_check(cuda, asked, doing)) return NULL;
    if (found != cudaDriverEntryPointSuccess || function == NULL) cuda_check(cuda, cudaErrorNotSupported, doing);
    return reinterpret_cast<WriteMap>(function);
}

bool hopper_map(Cuda *cuda, CUtensorMap *map, const void *at, const size_t *dims, unsigned rank, unsigned box_rows, const char *doing) {
    const WriteMap write = find_writer(cuda, doing);
    cuuint64_t sizes[3], strides[2]; /* elements; bytes from one to the next, of all dimensions but the first */
    const cuuint32_t box[3] = {BOX_DEPTH, box_rows, 1}, each[3] = {1, 1, 1};
    size_t bytes = sizeof(uint16_t);
    if (cuda->failed) return false;
    for (unsigned d = 0; d < rank; d++) {
        sizes[d] = dims[d], bytes *= dims[d];
        if (d + 1 < rank) strides[d] = bytes;
    }
    /* Outside the tensor there are zeros. From memory to the L2 cache lines come in pairs: the next step along k wants the neighbour. */
    const CUresult wrote =
        write(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, const_cast<void *>(at), sizes, strides, box, each, CU_TENSOR_MAP_INTERLEAVE_NONE,
              CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return cuda_check(cuda, static_cast<cudaError_t>(wrote), doing); /* both number their errors alike, as far as this function has any */
}
