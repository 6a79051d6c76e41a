/* products.h: the functions behind the rows of cuda_variants (products.cu), in the order of the numbers. What each reads is in its row. */
#ifndef MOE_CUDA_PRODUCTS_H
#define MOE_CUDA_PRODUCTS_H

#include "cuda/kernel.h"

CudaMatmulFn one_thread_nt;          /* 01 */
CudaMatmulFn coalesced_nt;           /* 02 */
CudaMatmulFn shared_tiles_nt;        /* 03 */
CudaMatmulFn register_tiles_nt;      /* 04 */
CudaMatmulFn register_tiles_bf16_nt; /* 04, weights in bf16 */
CudaMatmulFn tensor_cores_nt;        /* 05 */
CudaMatmulFn async_pipeline_nt;      /* 09 */
CudaMatmulFn few_rows_nt;            /* 12 */
CudaMatmulFn few_rows_bf16_nt;       /* 12, weights in bf16 */

#endif
